//! Work on a whole file that is asked for, not part of serving: checking it, copying it.
//!
//! **Invariants**
//! - Both read one snapshot through an ordinary reader connection; writers go on, but the WAL cannot be recycled
//!   while they run. They are declared long: the age limit of snapshots does not apply to them.

mod check;
mod copy;
mod one_snapshot;

pub use check::check;
pub use copy::copy_to;

use crate::error::Result;
use crate::sqlite::connection::{Connection, Role};
use crate::status::{Check, Copied};
use crate::store::Store;
use std::path::Path;

impl Store {
    /// Checks the whole file: each page, index, constraint and foreign key. Damage is in the answer, an error means that
    /// the check could not be made. Reads everything: blocks for about a second for 500 MB. Not for async workers.
    pub fn check(&self) -> Result<Check> {
        check::check(self.long_reader()?.sqlite())
    }

    /// Copies one state of the file into a new one, while writes go on, and checks the copy. `progress` hears of pages
    /// done and pages in all. Blocks; the WAL grows by what is written meanwhile. Not for async workers.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::Kind::Invalid) where `path` exists, [`Kind::Full`](crate::Kind::Full),
    /// [`Kind::Corrupt`](crate::Kind::Corrupt) where the copy fails its check; then nothing is left at `path`.
    pub fn copy_to(&self, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Copied> {
        copy::copy_to(self.long_reader()?.sqlite(), path, progress)
    }

    /// A reader of its own, with the store's rights and no time limit.
    fn long_reader(&self) -> Result<Connection> {
        let shared = self.shared();
        if shared.is_closed() {
            return Err(shared.closed_error());
        }
        shared.opener.open(Role::Reader)
    }
}
