//! The store: the handle that callers hold.
//!
//! **Invariants**
//! - The file lock is held from before the first connection until after the last: each connection has its part of it.
//! - The last handle's drop drains the queue and waits for the writer, which ends the reads and closes the file; inside
//!   a closure of the store it does not wait.

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::follow::{Following, Found, gate::Gate};
use crate::migrate::Migrations;
use crate::observe::SlowRun;
use crate::place;
use crate::read::{self, Read, ReadWith, Seen, Snapshot};
use crate::reply::{block_on, lock};
pub(crate) use crate::shared::Shared;
use crate::sqlite::connection::Opener;
use crate::standing::Standing;
use crate::status::{Status, WriterView};
use crate::ticket::Ticket;
use crate::write::queue::Closing;
use crate::write::{Tx, Write, WriteWith, Written};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

/// One SQLite file with its writer, readers and checkpoints. Clones are handles to the same store.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    life: Arc<Life>,
}

/// Ends the store with its last handle.
struct Life {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    writer_id: Option<ThreadId>,
}

impl Store {
    /// Opens or creates a file, brings it up to the migrations, and starts its writer.
    ///
    /// # Errors
    /// [`Kind::Busy`] where another store holds the file, [`Kind::Corrupt`], [`Kind::Newer`] and [`Kind::Changed`] by the
    /// state of the file, [`Kind::Unsupported`] by the place or the SQLite library, [`Kind::Io`] and [`Kind::Full`].
    pub fn open(path: impl AsRef<Path>, config: Config, migrations: Migrations) -> Result<Store> {
        let path = &absolute(path.as_ref())?;
        let within = |e: Error| {
            // SQLite says only "disk I/O error" of a wal-index that finds no room.
            let no_room = e.kind() == Kind::Io && place::has_no_room(place::folder_of(path));
            let e = if no_room { Error::new(Kind::Full, format!("the disk is full: {e}")) } else { e };
            e.within(format!("cannot open {}", path.display()))
        };
        let ready = crate::threads::start();
        let opened = ready.and_then(|()| crate::open::open(path, &config, &migrations)).map_err(within)?;
        let config = named(path, config);
        let opener = Arc::new(Opener::new(path, &config, Some(opened.lock), opened.gate.clone()));
        let following = Following::new(path, opened.gate, opened.found, opened.written);
        let mut shared = Shared::new(path, config, opener, opened.warnings, following);
        shared.epoch = AtomicU64::new(opened.sequence);
        shared.wal_frames = AtomicU64::new(opened.connection.wal_frames.load(Ordering::Relaxed));
        shared.forks = opened.forks;
        let shared = Arc::new(shared);
        shared.scrub.begin(opened.sums);
        shared.begin_marking(opened.found.history);
        let writer =
            crate::write::writer::Writer::new(shared.clone(), opened.connection, opened.steps).map_err(within)?;
        let thread = std::thread::Builder::new()
            .name(format!("writer:{}", shared.config.name))
            .spawn(move || writer.serve())
            .map_err(|e| within(Error::io("cannot start the writer's thread", e)))?;
        let life =
            Life { writer_id: Some(thread.thread().id()), writer: Mutex::new(Some(thread)), shared: shared.clone() };
        shared.begin_scrubbing();
        Ok(Store { shared, life: Arc::new(life) })
    }

    /// A store in place of one whose file is damaged: it touches nothing, and answers everything with that error. So that a
    /// program can go on with its other files.
    pub fn quarantined(path: impl AsRef<Path>, config: Config, why: &Error) -> Store {
        Store::without_file(path.as_ref(), config, Standing::quarantined(why))
    }

    /// A store in place of one whose file is being replaced: it touches nothing, and answers everything with
    /// [`Kind::Busy`] and a moment to try again.
    pub fn absent(path: impl AsRef<Path>, config: Config) -> Store {
        let standing = Standing::default();
        standing.set_aside();
        Store::without_file(path.as_ref(), config, standing)
    }

    fn without_file(path: &Path, config: Config, standing: Standing) -> Store {
        let config = named(path, config);
        let gate = Arc::new(Gate::default());
        let opener = Arc::new(Opener::new(path, &config, None, gate.clone()));
        let following =
            Following::new(path, gate, Found { history: [0; 16], sequence: 0, epoch: 0, page_size: 0 }, None);
        let mut shared = Shared::new(path, config, opener, Vec::new(), following);
        shared.standing = standing;
        shared.closed.store(true, Ordering::SeqCst);
        shared.copied_at_close.store(true, Ordering::Relaxed); // nothing is left to copy
        shared.queue.close(Closing::Drained);
        let shared = Arc::new(shared);
        let life = Life { shared: shared.clone(), writer: Mutex::new(None), writer_id: None };
        Store { shared, life: Arc::new(life) }
    }

    /// Reads at once on the calling thread; a read that turns out slow is repeated in the slow lane.
    ///
    /// The closure may run more than once. The future need not be awaited on any particular runtime.
    #[inline]
    pub fn read<T, E, F>(&self, f: F) -> Read<T, E>
    where
        F: Fn(&Snapshot<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        Read::new(ReadWith::start(&self.shared, Ticket::default(), f))
    }

    /// Reads with a ticket; answers the snapshot's sequence beside the value.
    #[inline]
    pub fn read_with<T, E, F>(&self, ticket: Ticket, f: F) -> ReadWith<T, E>
    where
        F: Fn(&Snapshot<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        ReadWith::start(&self.shared, ticket, f)
    }

    /// Reads on the calling thread to the end, at most `Config::slow_time_max`. Not for async workers.
    pub fn read_blocking<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: Fn(&Snapshot<'_>) -> Result<T, E>,
        E: From<Error>,
    {
        self.read_blocking_with(Ticket::default(), f).map(|seen| seen.value)
    }

    /// Reads on the calling thread to the end, with a ticket.
    pub fn read_blocking_with<T, E, F>(&self, ticket: Ticket, f: F) -> Result<Seen<T>, E>
    where
        F: Fn(&Snapshot<'_>) -> Result<T, E>,
        E: From<Error>,
    {
        read::run_blocking(&self.shared, ticket, f)
    }

    /// Queues a write; the answer comes when it is durable.
    ///
    /// The closure may run more than once; only its last run counts. Dropping the future before the write's turn
    /// removes it.
    pub fn write<T, E, F>(&self, f: F) -> Write<T, E>
    where
        F: FnMut(&Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        Write::new(self.write_with(Ticket::default(), f))
    }

    /// Queues a write with a ticket; answers its place in the file's order beside the value.
    pub fn write_with<T, E, F>(&self, ticket: Ticket, f: F) -> WriteWith<T, E>
    where
        F: FnMut(&Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        WriteWith::start(&self.shared, ticket, f)
    }

    /// Writes and blocks until it is durable. Not for async workers.
    pub fn write_blocking<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnMut(&Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        block_on(self.write(f))
    }

    /// Writes with a ticket and blocks until it is durable.
    pub fn write_blocking_with<T, E, F>(&self, ticket: Ticket, f: F) -> Result<Written<T>, E>
    where
        F: FnMut(&Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        block_on(self.write_with(ticket, f))
    }

    /// The last commit.
    pub fn sequence(&self) -> u64 {
        self.shared.epoch.load(Ordering::Acquire)
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The limits that it runs with.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The file's history, where it is not the one that the file was made with: rows' versions may have been given to other
    /// content in the history that was left.
    pub fn fork_id(&self) -> Option<[u8; 16]> {
        (!self.shared.forks.is_empty()).then(|| self.history())
    }

    /// Where the file began other histories: the last commit that it has of each one that was left, and the commit that begins
    /// the next. Commits between the two were left behind.
    pub fn forks(&self) -> &[(u64, u64)] {
        &self.shared.forks
    }

    /// Whether a commit of this number was left behind with an earlier history: the file does not have it.
    pub fn left_behind(&self, sequence: u64) -> bool {
        self.shared.forks.iter().any(|(last, next)| *last < sequence && sequence < *next)
    }

    /// Whether it has its file: not in quarantine, not closed, not replaced.
    pub fn is_open(&self) -> bool {
        !self.shared.is_closed()
    }

    /// The gauges; cheap enough to be asked each second.
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let (queued, queued_tenants) = shared.queue.depth();
        Status {
            state: shared.state(),
            sequence: self.sequence(),
            queued,
            queued_tenants,
            wal_bytes: shared.wal_frames.load(Ordering::Relaxed) * shared.frame_bytes(),
            rested: Duration::from_micros(shared.rested_us.load(Ordering::Relaxed)),
            file_bytes: std::fs::metadata(&shared.path).map_or(0, |m| m.len()),
            slow_queued: shared.reads.slow.waiting.load(Ordering::Relaxed),
            slow_running: shared.reads.slow.running(),
            cuts_open: shared.cuts.count(),
            reader_connections: shared.reads.slots.connections(),
            reached: shared.reaching.look(),
            blocking_running: shared.reads.slow.blocking(),
            holder: shared.holding.look().map(|(holder, _)| holder),
            scrub_passes: shared.scrub.passes(),
            trouble: lock(&shared.trouble).clone(),
            warnings: shared.warnings.clone(),
        }
    }

    /// Who holds the writer, who waits for it, who held it longest. Meant for a person who looks, not for each second: it
    /// asks the writer for its statement and waits two milliseconds for that at most.
    pub fn writer(&self) -> WriterView {
        let (queued, tenants, waiting) = self.shared.queue.waiting(WriterView::WAITING_MAX);
        let holder = self.shared.holder_with_statement();
        WriterView { holder, queued, tenants, waiting, longest: self.shared.longest.list(Instant::now()) }
    }

    /// Writes and reads that took too long, oldest first, at most `Config::slow_log_max`.
    pub fn slow_runs(&self) -> Vec<SlowRun> {
        self.shared.slow_log.list()
    }

    /// Checks that a statement can be prepared with a service's rights; it is not run.
    pub fn prepare(&self, sql: &str) -> Result<()> {
        self.read_blocking_with(Ticket::default().slow(), |s| s.prepare(sql).map(|_| ())).map(|_| ())
    }

    /// A connection for one long reading task of the store itself.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Answers what is queued, ends the slow reads, copies the WAL into the file, and closes it.
    ///
    /// # Errors
    /// [`Kind::Io`] where the WAL could not be copied: nothing is lost, but the `-wal` must stay beside the file.
    /// Inside a closure of a read or a write the store closes only after that closure: [`Kind::Nested`].
    pub fn close(self) -> Result<()> {
        if !self.life.end(Closing::Drained) {
            let why = "the store closes after the closure that this was called from; it cannot be waited for here";
            return Err(Error::new(Kind::Nested, why));
        }
        if self.shared.copied_at_close.load(Ordering::Relaxed) {
            return Ok(());
        }
        let text = format!("{} was closed before its WAL was copied; keep the -wal beside it", self.path().display());
        Err(Error::new(Kind::Io, text))
    }

    /// The same, and what comes after the end is answered as by [`Store::absent`]: another store takes this one's place.
    ///
    /// # Errors
    /// Those of [`Store::close`].
    pub fn set_aside(self) -> Result<()> {
        self.shared.standing.set_aside();
        self.close()
    }

    /// Stops as a crash would, for tests: queued writes are dropped, nothing more is written.
    pub fn abandon(self) {
        self.life.end(Closing::Abandoned);
    }
}

/// A relative name means what it meant when the store was opened, wherever its process goes.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io(format!("cannot tell which file {} is", path.display()), e))
}

fn named(path: &Path, mut config: Config) -> Config {
    if config.name.is_empty() {
        config.name = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    }
    config
}

impl Life {
    /// Ends the store; the writer's thread does it. Answers whether it has ended: a closure cannot wait for itself.
    fn end(&self, how: Closing) -> bool {
        if how == Closing::Abandoned {
            self.shared.closed.store(true, Ordering::Release);
        }
        self.shared.queue.end(how);
        if Some(std::thread::current().id()) == self.writer_id || read::is_reading() {
            return false;
        }
        // A second closer waits here for the first.
        let mut writer = lock(&self.writer);
        if let Some(thread) = writer.take() {
            let _ = thread.join(); // it catches its own panics
        }
        true
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.end(Closing::Drained);
    }
}
