//! The store: the handle that callers hold.
use crate::config::Config;
use crate::error::{Error, Result};
use crate::migrate::Migrations;
use crate::read::{Read, ReadWith, Seen, Snapshot};
use crate::ticket::Ticket;
use crate::write::{Tx, Write, WriteWith, Written};
use std::path::Path;
use std::time::{Duration, Instant};

/// One SQLite file with its writer, readers and checkpoints. Clones are handles to the same store.
#[derive(Clone)]
pub struct Store {}

/// Whether a store serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Reads and writes.
    Serving,
    /// Reads only, and why.
    ReadOnly(String),
    /// Nothing.
    Closed,
}

/// Who holds the writer.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The ticket's label.
    pub label: &'static str,
    /// The ticket's tenant.
    pub tenant: u64,
    /// Since when.
    pub since: Instant,
}

/// The gauges of a store.
#[derive(Debug, Clone)]
pub struct Status {
    /// Whether it serves.
    pub state: State,
    /// The last commit.
    pub sequence: u64,
    /// Writes waiting.
    pub queued: usize,
    /// Bytes of the WAL in use.
    pub wal_bytes: u64,
    /// Bytes of the database file.
    pub file_bytes: u64,
    /// Reads waiting for the slow lane.
    pub slow_queued: usize,
    /// Who holds the writer.
    pub holder: Option<Holder>,
}

/// What an integrity check found.
#[derive(Debug, Clone)]
pub struct Check {
    /// Messages; empty means the file is sound.
    pub problems: Vec<String>,
    /// Pages in the file.
    pub pages: u64,
    /// The last commit.
    pub sequence: u64,
}

/// What an online copy holds.
#[derive(Debug, Clone)]
pub struct Copied {
    /// Pages copied.
    pub pages: u64,
    /// The last commit in the copy.
    pub sequence: u64,
    /// How long it took.
    pub took: Duration,
}

#[allow(unused_variables, missing_docs)]
impl Store {
    pub fn open(path: impl AsRef<Path>, config: Config, migrations: Migrations) -> Result<Store> {
        unimplemented!()
    }
    pub fn read<T, E, F>(&self, f: F) -> Read<T, E>
    where
        F: Fn(&Snapshot<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        unimplemented!()
    }
    pub fn read_with<T, E, F>(&self, ticket: Ticket, f: F) -> ReadWith<T, E>
    where
        F: Fn(&Snapshot<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        unimplemented!()
    }
    pub fn read_blocking<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: Fn(&Snapshot<'_>) -> Result<T, E>,
        E: From<Error>,
    {
        unimplemented!()
    }
    pub fn read_blocking_with<T, E, F>(&self, ticket: Ticket, f: F) -> Result<Seen<T>, E>
    where
        F: Fn(&Snapshot<'_>) -> Result<T, E>,
        E: From<Error>,
    {
        unimplemented!()
    }
    pub fn write<T, E, F>(&self, f: F) -> Write<T, E>
    where
        F: FnMut(&Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        unimplemented!()
    }
    pub fn write_with<T, E, F>(&self, ticket: Ticket, f: F) -> WriteWith<T, E>
    where
        F: FnMut(&Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        unimplemented!()
    }
    pub fn write_blocking<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnMut(&Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        unimplemented!()
    }
    pub fn write_blocking_with<T, E, F>(&self, ticket: Ticket, f: F) -> Result<Written<T>, E>
    where
        F: FnMut(&Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        unimplemented!()
    }
    pub fn sequence(&self) -> u64 {
        unimplemented!()
    }
    pub fn path(&self) -> &Path {
        unimplemented!()
    }
    pub fn status(&self) -> Status {
        unimplemented!()
    }
    pub fn prepare(&self, sql: &str) -> Result<()> {
        unimplemented!()
    }
    pub fn check(&self) -> Result<Check> {
        unimplemented!()
    }
    pub fn copy_to(&self, path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Copied> {
        unimplemented!()
    }
    pub fn close(self) -> Result<()> {
        unimplemented!()
    }
    pub fn abandon(self) {
        unimplemented!()
    }
}
