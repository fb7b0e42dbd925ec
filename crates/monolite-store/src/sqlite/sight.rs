//! Which statement runs on a connection: seen by its own thread when somebody asks, or when a run has become slow.
//!
//! Nothing is noted while runs are quick and nobody asks: the progress handler compares two numbers. A statement that is
//! one long instruction never meets the handler; where a run is expected to be slow, SQLite's own profile tells it.
//!
//! **Invariants**
//! - SQLite's handle is used on the thread that runs the statement, from inside its callbacks, to read only.
//! - A text is at most `TEXT_MAX` bytes; what others wait for, they wait for a bounded time.

#![allow(unsafe_code)]

use super::watch::Watch;
use crate::reply::lock;
use rusqlite::{Connection, ffi};
use std::ffi::{CStr, c_int, c_uint, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Bytes of a statement that are kept.
const TEXT_MAX: usize = 1024;

/// What is seen of a connection's statements.
#[derive(Default)]
pub(crate) struct Sight {
    db: AtomicPtr<ffi::sqlite3>,
    /// When the run in progress becomes a slow one, on the watch's clock.
    slow_at_ns: AtomicU64,
    /// How long a statement must take by SQLite's own profile.
    slow_ns: AtomicU64,
    /// Whether `seen` holds something.
    has_seen: AtomicBool,
    seen: Mutex<Option<Seen>>,
    asked: AtomicBool,
    answer: Mutex<Option<Option<String>>>,
    answered: Condvar,
}

struct Seen {
    text: String,
    took_ns: u64,
}

impl Sight {
    /// Looks at this connection from now on; it lives longer than its handlers.
    pub(super) fn attach(&self, connection: &Connection) {
        // SAFETY: the handle is open; it is used by callbacks of this connection only.
        self.db.store(unsafe { connection.handle() }, Relaxed);
    }

    /// A run begins that becomes slow then; `u64::MAX` is never.
    #[inline]
    pub(super) fn begin(&self, slow_at_ns: u64, slow_ns: u64) {
        self.slow_at_ns.store(slow_at_ns, Relaxed);
        self.slow_ns.store(slow_ns, Relaxed);
        if self.has_seen.load(Relaxed) {
            self.take();
        }
    }

    /// The statement of the run that was slow, or was stopped.
    #[inline]
    pub(crate) fn take(&self) -> Option<String> {
        if !self.has_seen.load(Relaxed) {
            return None;
        }
        self.has_seen.store(false, Relaxed);
        lock(&self.seen).take().map(|seen| seen.text)
    }

    /// The progress handler's part.
    #[inline]
    pub(super) fn look(&self, now_ns: u64) {
        if now_ns > self.slow_at_ns.load(Relaxed) {
            self.slow_at_ns.store(u64::MAX, Relaxed);
            self.note();
        }
        if self.asked.load(Relaxed) && self.asked.swap(false, Relaxed) {
            *lock(&self.answer) = Some(self.running());
            self.answered.notify_all();
        }
    }

    /// Notes the statement that runs; called from inside a callback.
    #[cold]
    pub(super) fn note(&self) {
        if !self.has_seen.load(Relaxed)
            && let Some(text) = self.running()
        {
            self.keep(Seen { text, took_ns: 0 });
        }
    }

    /// Asks the running thread for its statement; waits at most this long.
    pub(super) fn ask(&self, longest: Duration) -> Option<String> {
        let mut answer = lock(&self.answer);
        *answer = None;
        self.asked.store(true, Relaxed);
        let waited = self.answered.wait_timeout_while(answer, longest, |answer| answer.is_none());
        let answer = waited.unwrap_or_else(PoisonError::into_inner).0.clone();
        self.asked.store(false, Relaxed);
        answer.flatten()
    }

    fn keep(&self, seen: Seen) {
        *lock(&self.seen) = Some(seen);
        self.has_seen.store(true, Relaxed);
    }

    /// The statement in the middle of its steps; of several, the one that has taken the most.
    fn running(&self) -> Option<String> {
        let db = self.db.load(Relaxed);
        if db.is_null() {
            return None;
        }
        let (mut most, mut found) = (-1, null_mut());
        // SAFETY: a callback of this open connection runs, on the thread that uses it; statements are only looked at.
        unsafe {
            let mut statement = ffi::sqlite3_next_stmt(db, null_mut());
            while !statement.is_null() {
                if ffi::sqlite3_stmt_busy(statement) != 0 {
                    let steps = ffi::sqlite3_stmt_status(statement, ffi::SQLITE_STMTSTATUS_VM_STEP, 0);
                    if steps > most {
                        (most, found) = (steps, statement);
                    }
                }
                statement = ffi::sqlite3_next_stmt(db, statement);
            }
        }
        // SAFETY: as above.
        unsafe { text_of(found) }
    }
}

/// Lets SQLite tell how long each statement took, to milliseconds, until `unprofile`.
pub(crate) fn profile(connection: &Connection, watch: &Watch) {
    let context = std::ptr::from_ref(watch).cast_mut().cast();
    // SAFETY: the handle is open; the watch belongs to its connection and lives as long.
    unsafe { ffi::sqlite3_trace_v2(connection.handle(), ffi::SQLITE_TRACE_PROFILE, Some(profiled), context) };
}

/// Ends what `profile` began.
pub(crate) fn unprofile(connection: &Connection) {
    // SAFETY: the handle is open.
    unsafe { ffi::sqlite3_trace_v2(connection.handle(), 0, None, null_mut()) };
}

unsafe extern "C" fn profiled(_: c_uint, context: *mut c_void, statement: *mut c_void, ns: *mut c_void) -> c_int {
    // SAFETY: SQLite hands over what `profile` gave it, the statement that ended, and a pointer to its nanoseconds.
    let (watch, took_ns) = unsafe { (&*context.cast::<Watch>(), *ns.cast::<i64>()) };
    let took_ns = u64::try_from(took_ns).unwrap_or(0);
    let sight = &watch.sight;
    if watch.is_timed() && took_ns >= sight.slow_ns.load(Relaxed) {
        let before = lock(&sight.seen).as_ref().map_or(0, |seen| seen.took_ns);
        // SAFETY: the statement is valid during the callback.
        if took_ns > before
            && let Some(text) = unsafe { text_of(statement.cast()) }
        {
            sight.keep(Seen { text, took_ns });
        }
    }
    0
}

/// A statement's SQL, cut to what is kept.
///
/// # Safety
/// The statement is null or valid.
unsafe fn text_of(statement: *mut ffi::sqlite3_stmt) -> Option<String> {
    if statement.is_null() {
        return None;
    }
    // SAFETY: the statement is valid, and so is its text, which is copied at once.
    let sql = unsafe {
        let sql = ffi::sqlite3_sql(statement);
        if sql.is_null() { return None } else { CStr::from_ptr(sql) }
    };
    let text = sql.to_string_lossy();
    let text = text.trim();
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Some(if end < text.len() { format!("{}…", &text[..end]) } else { text.to_owned() })
}
