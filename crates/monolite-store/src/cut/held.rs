//! One file's part of a cut: a connection with its snapshot, in the cut's and the writer's hands.
//!
//! **Invariants**
//! - Once ended, nothing is read any more: a connection that lost its transaction would show a later state.
//! - Who ends it while it is in use orders the run to stop; the run's thread ends the snapshot.

use super::open::{Permit, Pinned};
use crate::error::{Error, Kind, Result};
use crate::maintain;
use crate::read::{Active, Reader, Snapshot, panicked, thread_number};
use crate::reply::{far_from_now, lock};
use crate::sqlite::watch::Watch;
use crate::status::Copied;
use crate::store::Shared;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

/// Why a snapshot ended before its cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ended {
    /// It outlived the age limit.
    TooOld = 1,
    /// It kept the WAL above its hard limit.
    WalTooLarge = 2,
    /// The store closes.
    Closed = 3,
    /// SQLite ended its transaction on an error.
    Lost = 4,
    /// The cut is done with this file.
    Done = 5,
}

/// One file's part of a cut.
pub(super) struct Held {
    shared: Arc<Shared>,
    reader: Mutex<Option<Reader>>,
    watch: Arc<Watch>,
    sequence: AtomicU64,
    expires: Option<Instant>,
    ended: AtomicU8,
    /// The thread that reads.
    owner: AtomicUsize,
    _permit: Permit,
}

impl Held {
    /// A connection of a store, without a snapshot yet.
    pub(super) fn open(shared: &Arc<Shared>, age: Option<Duration>) -> Result<Arc<Held>> {
        let permit = Permit::of(shared)?;
        if shared.is_closed() {
            return Err(shared.closed_error());
        }
        let reader = shared.cuts.reader()?;
        let held = Arc::new(Held {
            shared: shared.clone(),
            watch: reader.connection.watch.clone(),
            reader: Mutex::new(Some(reader)),
            sequence: AtomicU64::new(0),
            expires: age.map(far_from_now),
            ended: AtomicU8::new(0),
            owner: AtomicUsize::new(0),
            _permit: permit,
        });
        shared.cuts.enlist(held.clone());
        if shared.is_closed() {
            held.finish(); // it closed meanwhile, perhaps without seeing this one
            return Err(shared.closed_error());
        }
        Ok(held)
    }

    /// Opens the snapshot, or opens it again where a commit has come since.
    pub(super) fn refresh(&self) -> Result<u64> {
        let mut reader = lock(&self.reader);
        let reader = reader.as_mut().ok_or_else(|| self.ended_error())?;
        if let Err(e) = reader.refresh(&self.shared.epoch) {
            self.shared.look_for_damage(reader.connection.sqlite());
            return Err(e);
        }
        self.sequence.store(reader.sequence, SeqCst);
        Ok(reader.sequence)
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence.load(SeqCst)
    }

    /// Runs a closure on the snapshot.
    pub(super) fn read<T, E>(&self, f: impl FnOnce(&Snapshot<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<Error>,
    {
        let gate = self.shared.config.gate_bytes;
        let ran = self.run(|reader| {
            let (sqlite, watch) = (reader.connection.sqlite(), &reader.connection.watch);
            let result = f(&Snapshot::new(sqlite, watch, reader.sequence, gate));
            if result.is_err() {
                self.shared.look_for_damage(sqlite);
            }
            result
        });
        ran?
    }

    /// Copies the file as the snapshot shows it, and ends the snapshot.
    pub(super) fn copy_to(&self, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Copied> {
        let copied = self.run(|reader| {
            let stopped = || reader.connection.watch.look();
            maintain::copy_snapshot(reader.connection.sqlite(), reader.sequence, path, progress, &stopped)
        });
        self.end(Ended::Done);
        copied?
    }

    /// Runs something on the connection, with the cut's end as its deadline.
    fn run<T>(&self, f: impl FnOnce(&Reader) -> T) -> Result<T> {
        let slow = &self.shared.reads.slow;
        let _active = Active::enter(slow); // until the connection is free again: a closing store waits for it
        let mut held = self.enter()?;
        self.watch.arm_timed(self.expires.unwrap_or_else(|| far_from_now(Duration::MAX)), None);
        slow.enlist_at(&self.watch, self.sequence());
        let ran = match held.0.as_ref() {
            Some(reader) if self.ended() == 0 => {
                catch_unwind(AssertUnwindSafe(|| f(reader))).map_err(|panic| panicked(panic.as_ref(), "read of a cut"))
            }
            _ => Err(self.ended_error()),
        };
        self.watch.check_deadline(Instant::now());
        self.watch.disarm();
        slow.dismiss(&self.watch);
        let tripped = self.watch.tripped().is_some();
        if tripped {
            // Whoever evicts reads under a hard limit's rule knows of snapshots only, not of cuts.
            let is_old = self.expires.is_some_and(|end| end <= Instant::now());
            self.set_ended(if is_old { Ended::TooOld } else { Ended::WalTooLarge });
        } else if held.0.as_ref().is_some_and(|r| r.connection.sqlite().is_autocommit()) {
            self.set_ended(Ended::Lost);
        }
        if self.ended() != 0 || self.shared.is_closed() {
            self.give_back(&mut held.0);
        }
        if tripped { Err(self.ended_error()) } else { ran }
    }

    /// Waits for its turn among the threads that share the cut.
    fn enter(&self) -> Result<Entered<'_>> {
        let me = thread_number();
        if self.owner.load(SeqCst) == me {
            let text = "a read of a cut was started inside a read of the same file of it; use the snapshot at hand";
            return Err(Error::new(Kind::Nested, text));
        }
        let reader = lock(&self.reader);
        self.owner.store(me, SeqCst);
        Ok(Entered(reader, &self.owner))
    }

    /// The cut is dropped: the snapshot ends.
    pub(super) fn finish(self: &Arc<Self>) {
        self.set_ended(Ended::Done);
        self.give_back(&mut lock(&self.reader));
        self.shared.cuts.dismiss(self);
    }

    fn ended(&self) -> u8 {
        self.ended.load(SeqCst)
    }

    /// The first reason stays.
    fn set_ended(&self, why: Ended) {
        let _ = self.ended.compare_exchange(0, why as u8, SeqCst, SeqCst);
    }

    /// Ends the snapshot and keeps the connection for the next cut.
    fn give_back(&self, reader: &mut Option<Reader>) {
        if let Some(mut reader) = reader.take()
            && reader.end().is_ok()
            && !self.shared.is_closed()
        {
            self.shared.cuts.put_back(reader);
        }
    }

    fn ended_error(&self) -> Error {
        let (name, config) = (&self.shared.config.name, &self.shared.config);
        if self.shared.is_closed() {
            return self.shared.closed_error();
        }
        let text = match self.ended() {
            n if n == Ended::TooOld as u8 => {
                format!("the cut is too old: its snapshot of {name} was ended; take a new one, and read less from it")
            }
            n if n == Ended::WalTooLarge as u8 => format!(
                "the cut was ended, since its snapshot of {name} kept the WAL above wal_hard_bytes, {} bytes; \
                 try when less is written, or raise that limit",
                config.wal_hard_bytes
            ),
            n if n == Ended::Done as u8 => format!("the cut has given its snapshot of {name} back; take a new one"),
            _ => format!("SQLite ended the cut's snapshot of {name} on an error; take a new one"),
        };
        Error::new(Kind::TooLong, text)
    }
}

impl Pinned for Held {
    fn expires(&self) -> Option<Instant> {
        self.expires
    }

    fn end(&self, why: Ended) {
        self.set_ended(why);
        self.watch.evict();
        match self.reader.try_lock() {
            Ok(mut reader) => self.give_back(&mut reader),
            Err(TryLockError::Poisoned(poisoned)) => self.give_back(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {} // its run does it, or the next look
        }
    }
}

/// The connection while a thread uses it.
struct Entered<'a>(MutexGuard<'a, Option<Reader>>, &'a AtomicUsize);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.1.store(0, SeqCst);
    }
}
