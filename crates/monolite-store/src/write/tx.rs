//! What a write's closure gets: a snapshot that can change.

use crate::error::Result;
use crate::read::Snapshot;
use crate::sqlite::watch::Watch;
use rusqlite::{Connection, Params};
use std::ops::Deref;

/// A write in progress. Everything it does is undone when its closure fails, panics or passes its deadline.
pub struct Tx<'a>(Snapshot<'a>);

impl<'a> Tx<'a> {
    pub(crate) fn new(connection: &'a Connection, watch: &'a Watch, sequence: u64) -> Self {
        Tx(Snapshot::new(connection, watch, sequence, u64::MAX))
    }

    /// Runs a statement and answers the number of changed rows.
    pub fn execute<P: Params>(&self, sql: &str, params: P) -> Result<usize> {
        Ok(self.connection().prepare_cached(sql)?.execute(params)?)
    }

    /// The rowid of this write's last insert; 0 before the first.
    pub fn last_insert_rowid(&self) -> i64 {
        self.connection().last_insert_rowid()
    }

    /// Rows changed by the last statement.
    pub fn changes(&self) -> u64 {
        self.connection().changes()
    }
}

impl<'a> Deref for Tx<'a> {
    type Target = Snapshot<'a>;

    fn deref(&self) -> &Snapshot<'a> {
        &self.0
    }
}
