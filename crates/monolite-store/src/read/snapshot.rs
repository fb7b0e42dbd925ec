//! The snapshot that a read's closure gets: statements, but not the connection.
//!
//! rusqlite's connection is not handed out: its safe methods copy the whole file, switch foreign keys off or
//! interrupt others, whatever the authorizer says.

use crate::error::{Error, Kind, Result};
use crate::sqlite::watch::{Tripped, Watch};
use rusqlite::{CachedStatement, Connection, Params, Row};

/// One consistent state of the file.
pub struct Snapshot<'a> {
    connection: &'a Connection,
    watch: &'a Watch,
    sequence: u64,
    gate_bytes: u64,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn new(connection: &'a Connection, watch: &'a Watch, sequence: u64, gate_bytes: u64) -> Self {
        Snapshot { connection, watch, sequence, gate_bytes }
    }

    pub(crate) fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// The single row of a query; no row is [`Kind::NoRows`].
    #[inline]
    pub fn query_row<T, P, F>(&self, sql: &str, params: P, map: F) -> Result<T>
    where
        P: Params,
        F: FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    {
        Ok(self.connection.prepare_cached(sql)?.query_row(params, map)?)
    }

    /// A statement, kept prepared on this connection; its SQL should be a constant.
    #[inline]
    pub fn prepare(&self, sql: &str) -> Result<CachedStatement<'a>> {
        Ok(self.connection.prepare_cached(sql)?)
    }

    /// Announces that a value of this many bytes (from `octet_length`) will be read next.
    ///
    /// Above `Config::gate_bytes` this ends a run on the caller's thread with an error to be passed on with `?`;
    /// the store then repeats the read in the slow lane, where it answers `Ok`.
    pub fn gate(&self, bytes: u64) -> Result<()> {
        if bytes > self.gate_bytes && self.watch.is_inline() {
            self.watch.trip(Tripped::Gate);
            return Err(Error::new(Kind::TooLong, "a large value moves this read to the slow lane"));
        }
        Ok(())
    }

    /// The last commit this snapshot contains.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}
