//! A disk as a crash sees it: what was done to the files of one folder, in order, and what of it is durable.
//!
//! The files themselves are real and always whole, so that the program under test runs at full speed; the [`Op`]s beside
//! them say what a power cut could have left at any moment. A [`Replay`] walks over them and makes such [`Image`]s.
//!
//! **Invariants**
//! - An operation is in the log before it is done, a sync after; so no image holds more than was asked for, nor less than
//!   was promised.
//! - Only a sync makes bytes durable, and only those written before it began. Closing never does.
//! - A name is durable only once its folder was synced.
//! - After a failed sync the bytes it was to make durable are doubtful for ever, whatever later syncs say.
//! - Every handle of a file that was open when a sync of it failed is told once, at its own next sync, as Linux does since 4.13
//!   (`errseq_t`): what one handle wrote and another one failed to sync is not called durable.

mod fault;
mod log;
mod replay;

pub use fault::{Fault, FileKind, Method, Plan, Verdict};
pub use log::{Fate, Note, Op};
pub use replay::{Image, Replay, STYLES, Step, Style};

use crate::random::Random;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// One folder whose files the rig watches.
pub struct Disk {
    folder: PathBuf,
    state: Mutex<State>,
}

/// A file by the order in which it appeared; a name that was removed and made again is another file.
pub type FileId = usize;

#[derive(Default)]
struct State {
    log: Vec<Op>,
    names: HashMap<PathBuf, FileId>,
    files: usize,
    /// Failed syncs of each file.
    failures: HashMap<FileId, u64>,
    trace: Vec<(Method, FileKind)>,
    plan: Option<Plan>,
    fired: u64,
    sync_time: Duration,
    dead: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn disks() -> &'static Mutex<HashMap<PathBuf, Weak<Disk>>> {
    static DISKS: OnceLock<Mutex<HashMap<PathBuf, Weak<Disk>>>> = OnceLock::new();
    DISKS.get_or_init(Mutex::default)
}

impl Disk {
    /// Watches the files that SQLite opens in a folder through the rig's VFS, until it is dropped.
    ///
    /// # Errors
    /// Where the folder cannot be found.
    pub fn watch(folder: &Path) -> std::io::Result<Arc<Disk>> {
        let folder = folder.canonicalize()?;
        let disk = Arc::new(Disk { folder: folder.clone(), state: Mutex::default() });
        lock(disks()).insert(folder, Arc::downgrade(&disk));
        Ok(disk)
    }

    /// The disk that a file lies on.
    pub fn of(file: &Path) -> Option<Arc<Disk>> {
        lock(disks()).get(file.parent()?).and_then(Weak::upgrade)
    }

    /// Plans a fault. Calls are counted from here on.
    pub fn plan(&self, plan: Plan) {
        let mut state = self.state();
        state.plan = Some(plan);
        state.fired = 0;
        state.trace.clear();
    }

    /// Syncs take so long from here on.
    pub fn slow_syncs(&self, time: Duration) {
        self.state().sync_time = time;
    }

    /// No faults from here on, and answers how many happened.
    pub fn heal(&self) -> u64 {
        let mut state = self.state();
        state.plan = None;
        state.fired
    }

    /// The calls since the plan, or since the beginning.
    pub fn trace(&self) -> Vec<(Method, FileKind)> {
        self.state().trace.clone()
    }

    /// Whether the machine has crashed.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// From here on nothing reaches the disk and nothing is noted.
    pub fn die(&self) {
        self.state().dead = true;
    }

    /// After a crash of the program alone: the next one finds what the last wrote, and only synced bytes are durable.
    pub fn revive(&self) {
        let mut state = self.state();
        state.dead = false;
        state.plan = None;
    }

    /// Notes in the log what a client knows.
    pub fn note(&self, note: Note) {
        self.push(Op::Note(note));
    }

    /// Looks at a file beside the database that SQLite does not write, and notes what it holds.
    pub fn look_beside(&self, name: &str) {
        let Ok(bytes) = std::fs::read(self.folder.join(name)) else { return };
        let mut state = self.state();
        let last =
            state.log.iter().rev().find_map(|op| if let Op::Beside { bytes, .. } = op { Some(bytes) } else { None });
        if !state.dead && last.is_none_or(|last| **last != *bytes) {
            state.log.push(Op::Beside { name: name.to_owned(), bytes: bytes.into() });
        }
    }

    /// The log so far.
    pub fn log(&self) -> Vec<Op> {
        self.state().log.clone()
    }

    /// Decides about a call of SQLite's, and notes that it was made.
    pub fn enter(&self, method: Method, kind: FileKind) -> Verdict {
        let mut state = self.state();
        if state.dead {
            return if method.must_happen() { Verdict::Go } else { Verdict::Fail(method.failure()) };
        }
        state.trace.push((method, kind));
        let call = state.trace.len() as u64;
        let Some(plan) = state.plan else { return Verdict::Go };
        let verdict = plan.verdict(call, method, kind);
        match verdict {
            Verdict::Go => {}
            Verdict::Crash => {
                state.fired += 1;
                state.dead = true;
                return if method.must_happen() { Verdict::Go } else { Verdict::Fail(method.failure()) };
            }
            _ => state.fired += 1,
        }
        verdict
    }

    /// A file was opened: it may be new, or new to the rig.
    pub(crate) fn opened(&self, path: &Path, existed: Option<Vec<u8>>) -> FileId {
        let mut state = self.state();
        if let Some(file) = state.names.get(path) {
            return *file;
        }
        let file = state.files;
        state.files += 1;
        state.names.insert(path.to_owned(), file);
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let op = match existed {
            Some(bytes) => Op::Found { file, name, bytes: bytes.into() },
            None => Op::Create { file, name },
        };
        state.log.push(op); // also after a crash: the name is there
        file
    }

    /// Whether the rig has seen this file.
    pub(crate) fn knows(&self, path: &Path) -> bool {
        self.state().names.contains_key(path)
    }

    /// A name is about to be removed; answers as [`Disk::push`] does.
    pub(crate) fn unlink(&self, path: &Path) -> bool {
        let mut state = self.state();
        if !state.dead
            && let Some(file) = state.names.remove(path)
        {
            state.log.push(Op::Unlink { file });
        }
        !state.dead
    }

    /// Notes what is about to be done; answers false where the machine has crashed meanwhile, and it must not be done.
    pub(crate) fn push(&self, op: Op) -> bool {
        let mut state = self.state();
        if !state.dead {
            state.log.push(op);
        }
        !state.dead
    }

    /// The system forgets what it keeps of a file in memory: after a failed sync, the file is what the disk has.
    pub(crate) fn forget(&self, file: FileId) -> std::io::Result<()> {
        let mut state = self.state();
        let Some(path) = state.names.iter().find_map(|(path, f)| (*f == file).then(|| path.clone())) else {
            return Ok(());
        };
        let mut replay = Replay::new(&state.log);
        while replay.step().is_some() {}
        let bytes = replay.reread(file, &mut Random::new(state.log.len() as u64));
        if let Some(bytes) = bytes.filter(|_| !state.dead) {
            std::fs::write(path, &bytes)?;
            state.log.push(Op::Reread { file, bytes: bytes.into() });
        }
        Ok(())
    }

    /// A sync of a file ended: notes it, or that it failed. `told` is how many failures its handle has answered; a failure of
    /// another handle is answered now.
    pub(crate) fn synced(&self, file: FileId, upto: usize, fails: bool, told: &mut u64) -> bool {
        let mut state = self.state();
        let failures = state.failures.entry(file).or_default();
        *failures += u64::from(fails);
        let well = *failures == std::mem::replace(told, *failures);
        // One that only tells of another's failure says nothing of what waits now: the next one may well make it durable.
        let op = match (fails, well) {
            (true, _) => Some(Op::SyncFailed { file }),
            (false, true) => Some(Op::Sync { file, upto }),
            (false, false) => None,
        };
        if !state.dead {
            state.log.extend(op);
        }
        well
    }

    /// How many syncs of a file have failed: what a handle that is opened now was not there for.
    pub(crate) fn failures(&self, file: FileId) -> u64 {
        self.state().failures.get(&file).copied().unwrap_or(0)
    }

    /// What a sync that begins now will cover.
    pub(crate) fn now(&self) -> usize {
        self.state().log.len()
    }

    /// How long a sync takes.
    pub(crate) fn sync_time(&self) -> Duration {
        self.state().sync_time
    }

    /// Waits as a slow disk does.
    pub(crate) fn delay(wait: Duration) {
        let never = Mutex::new(());
        let _ = std::sync::Condvar::new().wait_timeout(lock(&never), wait); // nobody will notify
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut disks = lock(disks());
        if disks.get(&self.folder).is_some_and(|d| d.strong_count() == 0) {
            disks.remove(&self.folder);
        }
    }
}
