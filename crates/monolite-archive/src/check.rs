//! What SQLite says of a file that nobody has open.
//!
//! **Invariants**
//! - The file is opened as immutable: no lock, no WAL, no byte is written, and nothing is checkpointed at the end.

use crate::planted::planted;
use crate::restore::Check;
use crate::{Error, Kind, Result};
use monolite_store::rusqlite::{self, Connection, OpenFlags, OptionalExtension};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How often the caller is asked whether to stop.
const LOOK: Duration = Duration::from_millis(200);
/// Steps of SQLite's machine between two questions whether to stop.
const STEPS: i32 = 100_000;

/// Checks a file, and that its own commit sequence is the one that is said, where it has one.
pub(crate) fn check(path: &Path, thoroughly: Check, sequence: u64, stop: &mut dyn FnMut() -> bool) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let c = Connection::open_with_flags(immutable(path), flags).map_err(|e| said(path, &e))?;
    let table = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_monolite'";
    if c.query_row(table, [], |row| row.get::<_, i64>(0)).map_err(|e| said(path, &e))? == 1 {
        let row = c.query_row("SELECT sequence FROM _monolite WHERE id = 1", [], |row| row.get::<_, i64>(0)).optional();
        let inside = row.map_err(|e| said(path, &e))?;
        if inside.is_some_and(|inside| u64::try_from(inside) != Ok(sequence))
            && !planted!("sequence_inside_not_compared")
        {
            let text = format!("the restored file says that it is commit {inside:?}, its segments say {sequence}");
            return Err(Error::damaged(text));
        }
    }
    let pragma = match thoroughly {
        Check::Full => "PRAGMA integrity_check(1)",
        Check::Quick => "PRAGMA quick_check(1)",
        Check::Open => return Ok(()),
    };
    match watched(c, pragma, stop) {
        None => Err(Error::new(Kind::Stopped, "the check was stopped")),
        Some(Ok(answer)) if answer == "ok" => Ok(()),
        Some(Ok(answer)) => Err(Error::damaged(format!("{} is damaged: {answer}", path.display()))),
        Some(Err(e)) => Err(said(path, &e)),
    }
}

/// Runs a query on a thread of its own, while this one asks whether to stop. `None` where it was stopped.
fn watched(mut c: Connection, query: &'static str, stop: &mut dyn FnMut() -> bool) -> Option<rusqlite::Result<String>> {
    let interrupt = c.get_interrupt_handle();
    let (answer, answered) = mpsc::sync_channel(1);
    let asked = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&asked);
    std::thread::scope(|s| {
        s.spawn(move || {
            // An interrupt between two statements is forgotten; the flag is not.
            let watch = c.progress_handler(STEPS, Some(move || stopping.load(Ordering::Relaxed)));
            let said = watch.and_then(|()| c.query_row(query, [], |row| row.get(0)));
            let _ = answer.send(said); // nobody listens after a stop
        });
        loop {
            match answered.recv_timeout(LOOK) {
                Ok(said) => return Some(said),
                Err(mpsc::RecvTimeoutError::Disconnected) => return None, // it panicked, and the scope says so
                Err(_) if stop() => {
                    asked.store(true, Ordering::Relaxed);
                    interrupt.interrupt();
                    return None;
                }
                Err(_) => {}
            }
        }
    })
}

fn said(path: &Path, e: &rusqlite::Error) -> Error {
    Error::damaged(format!("SQLite on {}: {e}", path.display()))
}

/// The file as a URI that SQLite opens without locks.
fn immutable(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            _ => write!(uri, "%{byte:02X}").expect("writing to a text"),
        }
    }
    uri + "?immutable=1"
}
