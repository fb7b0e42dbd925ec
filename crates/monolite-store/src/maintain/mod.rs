//! Work on a whole file that is asked for, not part of serving: checking it, copying it, beginning another history in it.
//!
//! **Invariants**
//! - Checks and copies read one snapshot through an ordinary reader connection; writers go on, but the WAL cannot be recycled
//!   while they run. They are declared long: the age limit of snapshots does not apply to them, the WAL's hard limit does.

mod check;
mod copy;
mod fork;
mod one_snapshot;

pub use check::check;
pub use copy::copy_to;
pub(crate) use copy::{Stops, copy_snapshot};
pub(crate) use fork::forks;
pub use fork::{Fork, fork};

pub use crate::place::{is_named, rename_new};

use crate::error::{Error, Kind, Result};
use crate::read::{Active, Length};
use crate::reply::far_from_now;
use crate::sqlite::connection::{Connection, Role};
use crate::status::{Check, Copied};
use crate::store::{Shared, Store};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

impl Store {
    /// Checks the whole file: each page, index, constraint and foreign key. Damage is in the answer, an error means that
    /// the check could not be made; [`Kind::TooLong`](crate::Kind::TooLong) where its snapshot kept the WAL too large. Reads everything: blocks for about a second for 500 MB. Not for async workers.
    pub fn check(&self) -> Result<Check> {
        let reader = self.long_reader()?;
        reader.told(check::check(reader.connection.sqlite()))
    }

    /// Copies one state of the file into a new one, while writes go on, and checks the copy. `progress` hears of pages
    /// done and pages in all. Blocks; the WAL grows by what is written meanwhile. Not for async workers.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid) where `path` exists, [`Kind::Full`](crate::Kind::Full),
    /// [`Kind::Corrupt`](crate::Kind::Corrupt) where the copy fails its check, [`Kind::TooLong`](crate::Kind::TooLong) where
    /// its snapshot kept the WAL above `Config::wal_hard_bytes`, [`Kind::Closed`](crate::Kind::Closed) where the store is
    /// closed meanwhile, which does not wait for the copy; then nothing is left at `path`.
    pub fn copy_to(&self, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Copied> {
        let reader = self.long_reader()?;
        let shared = self.shared().clone();
        let stops = Stops {
            filling: &|| reader.connection.watch.look() || reader.shared.is_closed(),
            proving: Arc::new(move || shared.is_closed()),
        };
        reader.told(copy::copy_unless(reader.connection.sqlite(), path, progress, &stops))
    }

    /// A reader of its own, with the store's rights and no time limit; ended where its snapshot keeps the WAL above
    /// `Config::wal_hard_bytes`.
    fn long_reader(&self) -> Result<LongReader<'_>> {
        let shared = self.shared();
        let active = Active::enter(&shared.reads.slow, Length::Long); // before the look: a closing store waits for it
        if shared.is_closed() {
            return Err(shared.closed_error());
        }
        let mut connection = shared.opener.open(Role::Reader)?;
        connection.look_while_running()?;
        connection.watch.arm_timed(far_from_now(Duration::MAX), None);
        shared.reads.slow.enlist(&connection.watch);
        Ok(LongReader { connection, shared, _active: active })
    }
}

struct LongReader<'a> {
    connection: Connection,
    shared: &'a Shared,
    _active: Active<'a>, // it ends after the connection
}

impl LongReader<'_> {
    /// Says what became of a task that was ended.
    fn told<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() && self.shared.is_closed() {
            return Err(self.shared.closed_error());
        }
        if self.connection.watch.tripped().is_none() {
            return result;
        }
        let text = format!(
            "stopped, since its snapshot kept the WAL above wal_hard_bytes, {} bytes; try when less is written, or raise that limit",
            self.shared.config.wal_hard_bytes
        );
        Err(Error::new(Kind::TooLong, text))
    }
}

impl Drop for LongReader<'_> {
    fn drop(&mut self) {
        self.shared.reads.slow.dismiss(&self.connection.watch);
    }
}
