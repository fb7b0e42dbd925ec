//! Reads: snapshots on the caller's thread, and the lanes they run in.
use crate::error::Error;
use rusqlite::{CachedStatement, Connection, Params, Row};
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A read's value, and the commit sequence of the snapshot it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<T> {
    /// What the closure returned.
    pub value: T,
    /// The last commit the snapshot contains.
    pub sequence: u64,
}

/// One consistent state of the file.
pub struct Snapshot<'a> {
    connection: &'a Connection,
}

impl Snapshot<'_> {
    /// The single row of a query; no row is [`crate::Kind::NoRows`].
    pub fn query_row<T, P, F>(&self, sql: &str, params: P, map: F) -> Result<T, Error>
    where
        P: Params,
        F: FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    {
        Ok(self.prepare(sql)?.query_row(params, map)?)
    }
    /// A statement, kept prepared on this connection.
    pub fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, Error> {
        Ok(self.connection.prepare_cached(sql)?)
    }
    /// Announces that a value of this many bytes will be read.
    pub fn gate(&self, _bytes: u64) -> Result<(), Error> {
        unimplemented!()
    }
    /// The last commit this snapshot contains.
    pub fn sequence(&self) -> u64 {
        unimplemented!()
    }
}

/// The answer to [`crate::Store::read`].
pub struct Read<T, E>(PhantomData<fn() -> (T, E)>);
/// The answer to [`crate::Store::read_with`].
pub struct ReadWith<T, E>(PhantomData<fn() -> (T, E)>);
impl<T, E> Future for Read<T, E> {
    type Output = Result<T, E>;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        unimplemented!()
    }
}
impl<T, E> Future for ReadWith<T, E> {
    type Output = Result<Seen<T>, E>;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        unimplemented!()
    }
}
