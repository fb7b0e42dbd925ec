//! Migrations: the ordered steps that bring a file to the shape the program expects.
//!
//! A *quick* step is SQL in one transaction at open. A *stepwise* one runs in batches between other writes, while old
//! and new code both work. The file remembers each step with its checksum in `_monolite_migrations`.
//!
//! **Invariants**
//! - A step and its record are committed in one transaction, which raises the commit sequence by one.
//! - The steps in the file are a prefix of the program's list, in its order and unchanged; else the store does not open.
//! - A step runs only after all before it have finished.

mod apply;
mod ledger;
mod quick;
mod script;
mod stepwise;

#[cfg(test)]
mod tests;

pub(crate) use apply::apply;
pub(crate) use stepwise::{PendingStepwise, run_batch};

use crate::error::{Error, Result};
use crate::write::Tx;

/// One step in a store's list of migrations.
#[derive(Debug, Clone, Copy)]
pub enum Migration {
    /// SQL that runs at open in one transaction.
    Quick {
        /// The name recorded in the file: the path as written in `migrations!`.
        name: &'static str,
        /// The SQL text; its checksum is recorded.
        sql: &'static str,
    },
    /// Batches that run between other writes.
    Stepwise(&'static Stepwise),
}

/// A migration in resumable batches, between other writes, while old and new code both work.
#[derive(Debug)]
pub struct Stepwise {
    /// The name recorded in the file.
    pub name: &'static str,
    /// Runs one batch and moves the cursor on; called until it answers [`Progress::Done`].
    pub step: fn(&Tx<'_>, &mut Cursor) -> Result<Progress, Error>,
}

/// Where a stepwise migration stands; kept in the file with each batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(pub i64);

/// Whether a stepwise migration has more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Call again.
    More,
    /// Finished.
    Done,
}

/// The ordered list of a store's migrations; made by [`migrations!`](crate::migrations).
#[derive(Debug, Clone, Default)]
pub struct Migrations(Vec<Migration>);

impl Migrations {
    /// A list of steps, in order.
    pub fn new(steps: impl Into<Vec<Migration>>) -> Self {
        Migrations(steps.into())
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[Migration] {
        &self.0
    }
}

/// The ordered list of migrations, embedded in the executable:
/// `migrations![quick "migrations/0001_recipes.sql", stepwise BACKFILL]`; paths are relative to the calling file.
#[macro_export]
macro_rules! migrations {
    (@step quick $path:literal) => { $crate::Migration::Quick { name: $path, sql: include_str!($path) } };
    (@step stepwise $step:path) => { $crate::Migration::Stepwise(&$step) };
    ($($kind:ident $step:tt),* $(,)?) => { $crate::Migrations::new(vec![$($crate::migrations!(@step $kind $step)),*]) };
}
