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

use crate::error::{Error, Kind, Result};
use crate::reply::lock;
use crate::sqlite::connection::{Connection, Opener, Role};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

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
        if self.kept && self.sequence == now && !self.connection.sqlite().is_autocommit() {
            return Ok(());
        }
        self.begin(epoch)
    }

    fn begin(&mut self, epoch: &AtomicU64) -> Result<()> {
        self.end()?;
        self.connection.begin()?;
        let (sequence, _) = self.connection.sequence().inspect_err(|_| drop(self.connection.end_read()))?;
        epoch.fetch_max(sequence, Ordering::AcqRel);
        self.sequence = sequence;
        self.kept = true;
        Ok(())
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
    opener: Arc<Opener>,
}

#[repr(align(128))] // no two slots share a cache line, nor its prefetched neighbour
struct Slot {
    owner: AtomicUsize,
    reader: Mutex<Option<Reader>>,
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
        Slots { slots, opener }
    }

    /// Locks the calling thread's slot. `None` where that could wait for ever: this thread reads another store already
    /// and the slot is in use.
    #[inline]
    pub(crate) fn hold(&self) -> Result<Option<Held<'_>>> {
        let me = thread_number();
        let slot = &self.slots[me % self.slots.len()];
        if slot.owner.load(Ordering::Relaxed) == me {
            return Err(Error::new(
                Kind::Nested,
                "a read was started inside a read of the same store; use the snapshot at hand instead",
            ));
        }
        let reader = if is_reading() {
            match slot.reader.try_lock() {
                Ok(reader) => reader,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return Ok(None),
            }
        } else {
            lock(&slot.reader)
        };
        slot.owner.store(me, Ordering::Relaxed);
        READING.with(|n| n.set(n.get() + 1));
        Ok(Some(Held { slots: self, slot, reader }))
    }

    /// Ends every snapshot that no read is using; answers whether all could be looked at.
    pub(crate) fn end_idle(&self) -> bool {
        let mut all = true;
        for slot in &self.slots {
            match slot.reader.try_lock() {
                Ok(mut reader) => {
                    if let Some(r) = reader.as_mut() {
                        all &= r.end().is_ok();
                    }
                }
                Err(TryLockError::Poisoned(_)) => {}
                Err(TryLockError::WouldBlock) => all = false,
            }
        }
        all
    }

    /// Closes every connection, waiting for the inline reads in progress.
    pub(crate) fn close(&self) {
        for slot in &self.slots {
            *lock(&slot.reader) = None;
        }
    }
}

impl Held<'_> {
    /// The slot's connection, opened at its first use.
    #[inline]
    pub(crate) fn reader(&mut self) -> Result<&mut Reader> {
        if self.reader.is_none() {
            *self.reader = Some(Reader::open(&self.slots.opener)?);
        }
        Ok(self.reader.as_mut().expect("opened above"))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
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
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    thread_local! { static NUMBER: Cell<usize> = const { Cell::new(0) } }
    NUMBER.with(|n| {
        if n.get() == 0 {
            n.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        n.get()
    })
}
