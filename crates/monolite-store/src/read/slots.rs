//! Reader slots: a connection per calling thread, its snapshot kept open while no commit has happened.
//!
//! The epoch *is* the commit sequence. A slot that needs a new snapshot begins one, reads the sequence row as its
//! first statement, and raises the shared epoch to that number before it reads anything else: an epoch raised by
//! the writer alone, after COMMIT, would let two readers see time go backwards.
//!
//! **Invariants**
//! - A kept snapshot is reused only while its number equals the epoch and its transaction is still open.
//! - A slot's lock is held for one inline read, never across a wait.
//! - A read inside a read of the same slot is an error, never a deadlock.
//! - A connection whose page cache has grown large is replaced when a commit has made that cache worthless: SQLite walks
//!   the cache's hash table, which never shrinks, at every new snapshot from then on (64 us where 6 would do, after a
//!   cache of 130 MB), and frees the pages on the caller's time. Another thread closes it.

use crate::error::{Error, Kind, Result};
use crate::planted::planted;
use crate::read::chore;
use crate::reply::lock;
use crate::sqlite::connection::{Connection, Opener, Role};
use crate::sqlite::raw;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

/// A page cache of more bytes is not kept over a commit. Its hash table has one entry for a page at least: 2,048 entries
/// are walked in about a microsecond.
const CACHE_KEPT_MAX: u64 = 8 << 20;

/// Looks at a slot in use before another is taken: some microseconds.
const LOOKS: u32 = 100;

/// Connections that wait to be closed by another thread; beyond, whoever retires one closes it.
const RETIRED_MAX: usize = 4;

/// A connection with perhaps an open snapshot.
pub(crate) struct Reader {
    pub(crate) connection: Connection,
    kept: bool,
    pub(crate) sequence: u64,
}

impl Reader {
    pub(crate) fn open(opener: &Opener) -> Result<Self> {
        Ok(Reader { connection: opener.open_for_callers(Role::Reader)?, kept: false, sequence: 0 })
    }

    /// Makes sure that a snapshot no older than the epoch is open.
    #[inline]
    pub(crate) fn refresh(&mut self, epoch: &AtomicU64) -> Result<()> {
        let now = epoch.load(Ordering::Acquire);
        let is_current = self.sequence == now || planted!("snapshot_kept_past_a_commit");
        if self.kept && is_current && !self.connection.sqlite().is_autocommit() {
            return Ok(());
        }
        self.begin(epoch)
    }

    fn begin(&mut self, epoch: &AtomicU64) -> Result<()> {
        self.end()?;
        self.connection.begin()?;
        let (sequence, _) = self.connection.sequence().inspect_err(|_| drop(self.connection.end_read()))?;
        if !planted!("epoch_not_raised_by_readers") {
            epoch.fetch_max(sequence, Ordering::AcqRel);
        }
        self.sequence = if planted!("epoch_recorded_after_begin") { epoch.load(Ordering::Acquire) } else { sequence };
        self.kept = true;
        Ok(())
    }

    /// Whether a commit has made a large page cache worthless.
    #[inline]
    fn is_outgrown(&self, epoch: &AtomicU64) -> bool {
        self.sequence != epoch.load(Ordering::Acquire) && self.has_large_cache()
    }

    /// Whether its page cache is too large to be kept over a commit.
    pub(crate) fn has_large_cache(&self) -> bool {
        raw::cache_bytes(self.connection.sqlite()) > CACHE_KEPT_MAX
    }

    /// Ends the snapshot.
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.kept {
            self.kept = false;
            self.connection.end_read()?;
        }
        Ok(())
    }
}

/// The slots of a store.
pub(crate) struct Slots {
    slots: Box<[Slot]>,
    connections: AtomicUsize,
    /// A read's snapshot is not kept for the next one: the WAL is to start over.
    letting_go: AtomicBool,
    opener: Arc<Opener>,
    retired: Arc<Retired>,
}

/// Connections for another thread to close.
#[derive(Default)]
struct Retired {
    waiting: Mutex<Vec<Reader>>,
    /// Held while they are closed.
    closing: Mutex<()>,
}

impl Retired {
    fn close(&self) {
        let _closing = lock(&self.closing);
        let gone = std::mem::take(&mut *lock(&self.waiting));
        drop(gone); // here, while nobody waits to add another
    }
}

#[repr(align(128))] // no two slots share a cache line, nor its prefetched neighbour
struct Slot {
    owner: AtomicUsize,
    reader: Mutex<Option<Reader>>,
}

impl Slot {
    #[inline]
    fn free(&self) -> Option<MutexGuard<'_, Option<Reader>>> {
        match self.reader.try_lock() {
            Ok(reader) => Some(reader),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// A locked slot.
pub(crate) struct Held<'a> {
    slots: &'a Slots,
    slot: &'a Slot,
    reader: MutexGuard<'a, Option<Reader>>,
}

impl Slots {
    pub(crate) fn new(opener: Arc<Opener>, slots_max: usize) -> Self {
        let slots =
            (0..slots_max.max(1)).map(|_| Slot { owner: AtomicUsize::new(0), reader: Mutex::new(None) }).collect();
        Slots {
            slots,
            connections: AtomicUsize::new(0),
            letting_go: AtomicBool::new(false),
            opener,
            retired: Arc::default(),
        }
    }

    /// Locks the calling thread's slot. `None` where that could wait for ever: this thread reads another store already
    /// and the slot is in use.
    #[inline]
    pub(crate) fn hold(&self) -> Result<Option<Held<'_>>> {
        let me = thread_number();
        let own = &self.slots[me % self.slots.len()];
        if own.owner.load(Ordering::Relaxed) == me || (is_reading() && self.is_read_by(me)) {
            return Err(Error::new(
                Kind::Nested,
                "a read was started inside a read of the same store; use the snapshot at hand instead",
            ));
        }
        let (slot, reader) = match own.free().map(|reader| (own, reader)).or_else(|| self.another(own)) {
            Some(found) => found,
            None if is_reading() => return Ok(None),
            None => (own, lock(&own.reader)),
        };
        slot.owner.store(me, Ordering::Relaxed);
        READING.with(|n| n.set(n.get() + 1));
        Ok(Some(Held { slots: self, slot, reader }))
    }

    /// Whether this thread has a slot, perhaps not its own.
    #[cold]
    fn is_read_by(&self, thread: usize) -> bool {
        self.slots.iter().any(|slot| slot.owner.load(Ordering::Relaxed) == thread)
    }

    /// A slot for a thread whose own is in use. Its own again where that is soon free: who ends idle snapshots has it for an
    /// instant. Else that of another thread: one long read must not hold up those who share its slot.
    #[cold]
    fn another<'a>(&'a self, own: &'a Slot) -> Option<(&'a Slot, MutexGuard<'a, Option<Reader>>)> {
        for _ in 0..LOOKS {
            std::hint::spin_loop();
            if let Some(reader) = own.free() {
                return Some((own, reader));
            }
        }
        self.slots.iter().find_map(|slot| slot.free().map(|reader| (slot, reader)))
    }

    /// From now on snapshots end with the reads that use them, or are kept again.
    pub(crate) fn let_go(&self, of_all: bool) {
        self.letting_go.store(of_all, Ordering::Relaxed);
    }

    /// Ends every snapshot that no read is using; answers whether all could be looked at.
    pub(crate) fn end_idle(&self) -> bool {
        if planted!("idle_snapshots_not_ended") {
            return true;
        }
        let mut all = true;
        for slot in &self.slots {
            // Also one where a caller's own code panicked: it is used all the same.
            match slot.free() {
                Some(mut reader) => all &= reader.as_mut().is_none_or(|reader| reader.end().is_ok()),
                None => all = false,
            }
        }
        all
    }

    /// Slots with a connection.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Closes every connection, waiting for the inline reads in progress.
    pub(crate) fn close(&self) {
        for slot in &self.slots {
            *lock(&slot.reader) = None;
        }
        self.connections.store(0, Ordering::Relaxed);
        self.retired.close();
    }

    /// Has another thread close a connection.
    #[cold]
    fn retire(&self, mut reader: Reader) {
        // Its snapshot must not keep the WAL until then; one that cannot be ended ends with its connection.
        let _ = reader.end();
        {
            let mut waiting = lock(&self.retired.waiting);
            if waiting.len() >= RETIRED_MAX {
                drop(waiting);
                return drop(reader);
            }
            waiting.push(reader);
        }
        let retired = self.retired.clone();
        chore(move || retired.close());
    }
}

impl Held<'_> {
    /// The slot's connection, opened at its first use.
    #[inline]
    pub(crate) fn reader(&mut self, epoch: &AtomicU64) -> Result<&mut Reader> {
        if let Some(outgrown) = self.reader.take_if(|reader| reader.is_outgrown(epoch)) {
            self.slots.connections.fetch_sub(1, Ordering::Relaxed);
            self.slots.retire(outgrown);
        }
        if self.reader.is_none() {
            *self.reader = Some(Reader::open(&self.slots.opener)?);
            self.slots.connections.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self.reader.as_mut().expect("opened above"))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.slots.letting_go.load(Ordering::Relaxed)
            && let Some(reader) = self.reader.as_mut()
        {
            let _ = reader.end();
        }
        self.slot.owner.store(0, Ordering::Relaxed);
        READING.with(|n| n.set(n.get() - 1));
    }
}

thread_local! { static READING: Cell<u32> = const { Cell::new(0) } }

/// Whether the calling thread is inside a read on its own slot, of any store.
#[inline]
pub(crate) fn is_reading() -> bool {
    READING.with(Cell::get) > 0
}

/// A small number for the calling thread, from 1 on.
#[inline]
pub(crate) fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    thread_local! { static NUMBER: Cell<usize> = const { Cell::new(0) } }
    NUMBER.with(|n| {
        if n.get() == 0 {
            n.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        n.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Migration, Migrations, Store};

    const SCHEMA: &str = "CREATE TABLE t(v BLOB) STRICT; CREATE TABLE n(v INTEGER) STRICT; INSERT INTO n VALUES (0);
        WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i < 4000) INSERT INTO t SELECT zeroblob(3500) FROM s;";

    fn store(folder: &tempfile::TempDir) -> Store {
        let migrations = Migrations::new(vec![Migration::Quick { name: "0001", sql: SCHEMA }]);
        Store::open(folder.path().join("S/S.db"), Config::default(), migrations).unwrap()
    }

    /// Bytes of this thread's cache, and whether its connection is a new one.
    fn cache(store: &Store) -> (u64, bool) {
        let shared = store.shared();
        let mut held = shared.reads.slots.hold().unwrap().unwrap();
        let reader = held.reader(&shared.epoch).unwrap();
        (raw::cache_bytes(reader.connection.sqlite()), reader.sequence == 0)
    }

    fn number(store: &Store) -> i64 {
        store.read_blocking(|s| s.query_row("SELECT v FROM n", [], |r| r.get(0))).unwrap()
    }

    fn fill_cache(store: &Store) {
        for row in 1..=4000 {
            let sql = "SELECT length(v) FROM t WHERE rowid = ?1";
            store.read_blocking(|s| s.query_row(sql, [row], |r| r.get::<_, i64>(0))).unwrap();
        }
        assert!(cache(store).0 > CACHE_KEPT_MAX);
    }

    #[test]
    fn large_cache_is_kept_until_a_commit_and_not_over_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        fill_cache(&store);
        assert_eq!(number(&store), 0);
        assert!(!cache(&store).1, "kept while nothing was written");
        store.write_blocking(|tx| tx.execute("UPDATE n SET v = v + 1", [])).unwrap();
        let (bytes, is_new) = cache(&store);
        assert!(is_new && bytes < CACHE_KEPT_MAX, "not over a commit: {bytes}");
        assert_eq!(number(&store), 1);
        store.write_blocking(|tx| tx.execute("UPDATE n SET v = v + 1", [])).unwrap();
        assert!(!cache(&store).1, "a small one stays");
        assert_eq!(number(&store), 2);
    }

    #[test]
    fn store_closes_with_retired_connections_and_opens_again() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..5 {
            let store = store(&folder);
            fill_cache(&store);
            store.write_blocking(|tx| tx.execute("UPDATE n SET v = v + 1", [])).unwrap();
            assert_eq!(number(&store), round + 1);
            store.close().unwrap();
        }
    }
}
