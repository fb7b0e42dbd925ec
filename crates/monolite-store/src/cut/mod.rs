//! A consistent cut: one snapshot in each of several files, all of one moment.
//!
//! No barrier is needed, because the epoch of a file is the last commit that anybody has seen. The snapshots are opened
//! one after another; if then no epoch is newer than its snapshot, there was a moment between the last that was opened
//! and the first look at which every snapshot was the newest state of its file: what anybody could have seen until then
//! is in the cut, and nothing else is. Otherwise those that are behind are opened again. Why so, and what it costs: ADR 20.
//!
//! **Invariants**
//! - A cut holds everything that was acknowledged before it was asked for, in any of its files.
//! - If one file of a cut shows an effect, the others show its causes.
//! - No writer waits for a cut, but in the fallback after many tries, and there for a bounded time.
//! - A snapshot of a cut lives no longer than the age limit while there are writes, and never keeps the WAL above its
//!   hard limit: the writer itself ends it, whoever holds the cut and whether it is used or not.
//!
//! Absent: a cut that writes, a cut over files of other processes.

mod agree;
mod held;
mod join;
mod open;
mod pause;
#[cfg(test)]
mod tests;

pub use join::{Join, Joined};
pub(crate) use open::OpenCuts;
pub(crate) use pause::Pause;

use crate::error::{Error, Kind, Result};
use crate::read::{Reader, Snapshot};
use crate::status::Copied;
use crate::store::{Shared, Store};
use crate::write::is_writer_thread;
use agree::{Snapshots, agree};
use held::Held;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How a cut came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taking {
    /// How often some of its snapshots were opened again, since a commit had come between.
    pub retries: u32,
    /// Whether the writers paused for it.
    pub paused: bool,
}

/// Snapshots of several stores, all of one moment, until it is dropped. Its files have the places in which the stores
/// were given.
///
/// ```
/// use monolite_store::{Config, Cut, Migration, Migrations, Store};
/// # let folder = tempfile::TempDir::new().expect("a folder");
/// # let path = |name: &str| folder.path().join(format!("{name}/{name}.db"));
/// let schema = || Migrations::new([Migration::Quick { name: "1", sql: "CREATE TABLE t(n INTEGER) STRICT" }]);
/// let stores = [
///     Store::open(path("Users"), Config::default(), schema())?,
///     Store::open(path("Documents"), Config::default(), schema())?,
/// ];
/// let cut = Cut::take(&stores)?;
/// stores[1].write_blocking(|tx| tx.execute("INSERT INTO t VALUES (7)", []))?;
/// let counted: i64 = cut.read(1, |s| s.query_row("SELECT count(*) FROM t", [], |r| r.get(0)))?;
/// assert_eq!(counted, 0); // the moment of the cut
/// # Ok::<(), monolite_store::Error>(())
/// ```
pub struct Cut {
    files: Vec<Arc<Held<Reader>>>,
    sequences: Vec<u64>,
    taking: Taking,
}

impl Cut {
    /// Takes a cut: microseconds for each store, on the calling thread. It ends after the least `Config::slow_time_max` of
    /// its stores.
    ///
    /// # Errors
    /// [`Kind::Overloaded`] where a store has `Config::cuts_max` open, or where the writers let no moment be found;
    /// [`Kind::Nested`] inside a write's closure; [`Kind::Closed`], [`Kind::Corrupt`] and [`Kind::Io`] of a store.
    pub fn take(stores: &[Store]) -> Result<Cut> {
        let age = stores.iter().map(|s| s.config().slow_time_max).min();
        Cut::lasting(stores, age)
    }

    /// Takes a cut for a long task, such as a copy: it has no age limit, only that of the WAL.
    pub fn take_long(stores: &[Store]) -> Result<Cut> {
        Cut::lasting(stores, None)
    }

    fn lasting(stores: &[Store], age: Option<Duration>) -> Result<Cut> {
        let shared: Vec<&Arc<Shared>> = stores.iter().map(Store::shared).collect();
        look_where_asked(&shared)?;
        // Made first, so that its drop gives back what was opened before an error.
        let mut cut = Cut::empty();
        for store in &shared {
            cut.files.push(open(store, age)?);
        }
        (cut.sequences, cut.taking) = agree(&shared, &mut Each(&cut.files))?;
        Ok(cut)
    }

    fn empty() -> Cut {
        Cut { files: Vec::new(), sequences: Vec::new(), taking: Taking { retries: 0, paused: false } }
    }

    /// The last commit that each file's snapshot contains.
    pub fn sequences(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.sequences.iter().copied()
    }

    /// How it came to be.
    pub fn taking(&self) -> Taking {
        self.taking
    }

    /// Reads the file at a place, on the calling thread to the end, until the cut's own end at most. Not for async
    /// workers, unless it is short.
    ///
    /// # Errors
    /// The closure's own; [`Kind::TooLong`] once the cut is too old or kept the WAL too large: take a new one.
    ///
    /// # Panics
    /// Where there is no such place.
    pub fn read<T, E>(&self, place: usize, f: impl FnOnce(&Snapshot<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<Error>,
    {
        self.files[place].read(f)
    }

    /// Copies the file at a place into a new one, as [`Store::copy_to`] does, and then ends its snapshot.
    ///
    /// # Errors
    /// Those of [`Store::copy_to`].
    ///
    /// # Panics
    /// Where there is no such place.
    pub fn copy_to(&self, place: usize, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Copied> {
        self.files[place].copy_to(path, progress)
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.files.iter().for_each(|file| file.finish());
    }
}

/// A store's part of a cut, without a snapshot yet.
fn open(store: &Arc<Shared>, age: Option<Duration>) -> Result<Arc<Held<Reader>>> {
    Held::open(&[store], age, || {
        let reader = store.cuts.reader()?;
        let watch = reader.connection.watch.clone();
        Ok((reader, watch))
    })
}

/// A snapshot for each file by itself.
struct Each<'a>(&'a [Arc<Held<Reader>>]);

impl Snapshots for Each<'_> {
    fn open(&mut self, stale: &[usize], sequences: &mut [u64]) -> Result<()> {
        for &place in stale {
            sequences[place] = self.0[place].renew()?;
        }
        Ok(())
    }
}

/// A cut waits for writers in the fallback, so not on a writer's thread; and of one store there is one snapshot in it.
fn look_where_asked(stores: &[&Arc<Shared>]) -> Result<()> {
    if is_writer_thread() {
        return Err(Error::new(Kind::Nested, "a cut was asked for inside a write; a write sees its own file only"));
    }
    let twice = stores.iter().enumerate().find(|(n, store)| stores[..*n].iter().any(|other| Arc::ptr_eq(other, store)));
    match twice {
        Some((_, store)) => Err(Error::new(Kind::Invalid, format!("{} is named twice in one cut", store.config.name))),
        None => Ok(()),
    }
}
