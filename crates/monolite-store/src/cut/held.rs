//! A connection with its snapshots, in the hands of a cut and of the writers whose WAL it keeps: of one file, or of a join.
//!
//! **Invariants**
//! - Once ended, nothing is read any more: a connection that lost its transaction would show a later state.
//! - Who ends it while it is in use orders the run to stop; the run's thread ends the snapshot.

use super::open::{Permit, Pinned};
use crate::error::{Error, Kind, Result};
use crate::maintain::{self, Stops};
use crate::read::{Active, Length, Reader, Snapshot, panicked, thread_number};
use crate::reply::{far_from_now, lock};
use crate::sqlite::watch::{Tripped, Watch};
use crate::status::Copied;
use crate::store::Shared;
use rusqlite::Connection as Sqlite;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};
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

/// What is held.
pub(super) trait Connected: Send {
    /// The connection.
    fn sqlite(&self) -> &Sqlite;
    /// Ends its transaction; a store keeps the connection or not.
    fn finish(self, stores: &[Arc<Shared>]);
}

/// A connection with its snapshots of some stores.
pub(super) struct Held<C> {
    stores: Vec<Arc<Shared>>,
    connection: Mutex<Option<C>>,
    watch: Arc<Watch>,
    expires: Option<Instant>,
    ended: AtomicU8,
    /// The thread that reads.
    owner: AtomicUsize,
    _permits: Vec<Permit>,
}

impl<C: Connected + 'static> Held<C> {
    /// A connection to the files of these stores, without snapshots yet.
    pub(super) fn open(
        stores: &[&Arc<Shared>],
        age: Option<Duration>,
        connect: impl FnOnce() -> Result<(C, Arc<Watch>)>,
    ) -> Result<Arc<Self>> {
        let permits = stores.iter().map(|store| Permit::of(store)).collect::<Result<_>>()?;
        if let Some(closed) = stores.iter().find(|store| store.is_closed()) {
            return Err(closed.closed_error());
        }
        let (connection, watch) = connect()?;
        let held = Arc::new(Held {
            stores: stores.iter().map(|store| (*store).clone()).collect(),
            connection: Mutex::new(Some(connection)),
            watch,
            expires: age.map(far_from_now),
            ended: AtomicU8::new(0),
            owner: AtomicUsize::new(0),
            _permits: permits,
        });
        held.stores.iter().for_each(|store| store.cuts.enlist(held.clone()));
        if let Some(closed) = held.closed() {
            held.finish(); // it closed meanwhile, perhaps without seeing this one
            return Err(closed.closed_error());
        }
        Ok(held)
    }

    /// Opens snapshots, or opens them again where a commit has come since.
    pub(super) fn refresh<T>(&self, refresh: impl FnOnce(&mut C) -> Result<T>) -> Result<T> {
        let mut connection = lock(&self.connection);
        let connection = connection.as_mut().ok_or_else(|| self.ended_error())?;
        refresh(connection)
            .inspect_err(|_| self.stores.iter().for_each(|store| store.look_for_damage(connection.sqlite())))
    }

    /// Runs something on the connection, with the end of the cut, or an earlier one, as its deadline.
    pub(super) fn run<T>(&self, deadline: Option<Instant>, f: impl FnOnce(&C) -> T) -> Result<T> {
        // Until the connection is free again: a closing store waits for it.
        let _active: Vec<_> = self.stores.iter().map(|store| Active::enter(&store.reads.slow, Length::Long)).collect();
        let mut held = self.enter()?;
        let end = self.expires.unwrap_or_else(|| far_from_now(Duration::MAX));
        self.watch.arm_timed(deadline.map_or(end, |d| d.min(end)), None);
        self.stores.iter().for_each(|store| store.reads.slow.enlist(&self.watch));
        let ran = match held.0.as_ref() {
            Some(connection) if self.ended() == 0 => catch_unwind(AssertUnwindSafe(|| f(connection)))
                .map_err(|panic| panicked(panic.as_ref(), "read of a cut")),
            _ => Err(self.ended_error()),
        };
        self.watch.check_deadline(Instant::now());
        self.watch.disarm();
        self.stores.iter().for_each(|store| store.reads.slow.dismiss(&self.watch));
        let tripped = self.watch.tripped();
        if self.expires.is_some_and(|end| end <= Instant::now()) {
            self.set_ended(Ended::TooOld);
        } else if tripped == Some(Tripped::Evicted) {
            self.set_ended(Ended::WalTooLarge);
        } else if held.0.as_ref().is_some_and(|c| c.sqlite().is_autocommit()) {
            self.set_ended(Ended::Lost);
        }
        if self.ended() != 0 || self.closed().is_some() {
            self.give_back(&mut held.0);
        }
        match tripped {
            None => ran,
            Some(_) if self.ended() != 0 => Err(self.ended_error()),
            Some(_) => Err(Error::new(Kind::TooLong, "a read of a cut was stopped at its deadline; read less")),
        }
    }

    /// Waits for its turn among the threads that share the cut.
    fn enter(&self) -> Result<Entered<'_, C>> {
        let me = thread_number();
        if self.owner.load(SeqCst) == me {
            let text = "a read of a cut was started inside a read of the same file of it; use the snapshot at hand";
            return Err(Error::new(Kind::Nested, text));
        }
        let connection = lock(&self.connection);
        self.owner.store(me, SeqCst);
        Ok(Entered(connection, &self.owner))
    }

    /// The cut is dropped: the snapshots end.
    pub(super) fn finish(self: &Arc<Self>) {
        self.set_ended(Ended::Done);
        self.give_back(&mut lock(&self.connection));
        self.stores.iter().for_each(|store| store.cuts.dismiss(self));
    }

    fn closed(&self) -> Option<&Arc<Shared>> {
        self.stores.iter().find(|store| store.is_closed())
    }

    fn ended(&self) -> u8 {
        self.ended.load(SeqCst)
    }

    /// The first reason stays.
    fn set_ended(&self, why: Ended) {
        let _ = self.ended.compare_exchange(0, why as u8, SeqCst, SeqCst);
    }

    fn give_back(&self, connection: &mut Option<C>) {
        if let Some(connection) = connection.take() {
            connection.finish(&self.stores);
        }
    }

    fn ended_error(&self) -> Error {
        if let Some(closed) = self.closed() {
            return closed.closed_error();
        }
        let names = self.stores.iter().map(|store| store.config.name.as_str()).collect::<Vec<_>>().join(", ");
        let text = match self.ended() {
            n if n == Ended::TooOld as u8 => {
                format!("the cut is too old: its snapshot of {names} was ended; take a new one, and read less from it")
            }
            n if n == Ended::WalTooLarge as u8 => format!(
                "the cut was ended, since its snapshot of {names} kept a WAL above wal_hard_bytes, {} bytes; \
                 try when less is written, or raise that limit",
                self.stores.iter().map(|store| store.config.wal_hard_bytes).min().unwrap_or_default()
            ),
            n if n == Ended::Done as u8 => format!("the cut has given its snapshot of {names} back; take a new one"),
            _ => format!("SQLite ended the cut's snapshot of {names} on an error; take a new one"),
        };
        Error::new(Kind::TooLong, text)
    }
}

impl Held<Reader> {
    /// Opens the snapshot of the one file, or opens it again.
    pub(super) fn renew(&self) -> Result<u64> {
        self.refresh(|reader| {
            reader.refresh(&self.stores[0].epoch)?;
            Ok(reader.sequence)
        })
    }

    /// Runs a closure on the snapshot.
    pub(super) fn read<T, E>(&self, f: impl FnOnce(&Snapshot<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<Error>,
    {
        let store = &self.stores[0];
        let ran = self.run(None, |reader| {
            let (sqlite, watch) = (reader.connection.sqlite(), &reader.connection.watch);
            let result = f(&Snapshot::new(sqlite, watch, reader.sequence, store.config.gate_bytes));
            if result.is_err() {
                store.look_for_damage(sqlite);
            }
            result
        });
        ran?
    }

    /// Copies the file as the snapshot shows it, and ends the snapshot.
    pub(super) fn copy_to(&self, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Copied> {
        let copied = self.run(None, |reader| {
            let watch = self.watch.clone();
            let stops = Stops { filling: &|| self.watch.look(), proving: Arc::new(move || watch.look()) };
            maintain::copy_snapshot(reader.connection.sqlite(), reader.sequence, path, progress, &stops)
        });
        self.end(Ended::Done);
        copied?
    }
}

impl Connected for Reader {
    fn sqlite(&self) -> &Sqlite {
        self.connection.sqlite()
    }

    fn finish(mut self, stores: &[Arc<Shared>]) {
        let store = &stores[0];
        if self.end().is_ok() && !store.is_closed() {
            store.cuts.put_back(self);
        }
    }
}

impl<C: Connected + 'static> Pinned for Held<C> {
    fn expires(&self) -> Option<Instant> {
        self.expires
    }

    fn end(&self, why: Ended) {
        self.set_ended(why);
        self.watch.evict();
        match self.connection.try_lock() {
            Ok(mut connection) => self.give_back(&mut connection),
            Err(TryLockError::Poisoned(poisoned)) => self.give_back(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {} // its run does it, or the next look
        }
    }
}

/// The connection while a thread uses it.
struct Entered<'a, C>(MutexGuard<'a, Option<C>>, &'a AtomicUsize);

impl<C> Drop for Entered<'_, C> {
    fn drop(&mut self) {
        self.1.store(0, SeqCst);
    }
}
