//! Writes: the queue, the writer's thread, the group.
use crate::error::Error;
use crate::read::Snapshot;
use rusqlite::Params;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A write's value, and where it stands in the file's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written<T> {
    /// What the closure returned.
    pub value: T,
    /// The commit that contains the write.
    pub sequence: u64,
    /// The write's place in that commit's group, from 0.
    pub place: u32,
}

/// A write in progress: a snapshot that can change.
pub struct Tx<'a> {
    snapshot: Snapshot<'a>,
}

impl<'a> Deref for Tx<'a> {
    type Target = Snapshot<'a>;
    fn deref(&self) -> &Snapshot<'a> {
        &self.snapshot
    }
}

impl Tx<'_> {
    /// Runs a statement and answers the number of changed rows.
    pub fn execute<P: Params>(&self, sql: &str, params: P) -> Result<usize, Error> {
        Ok(self.prepare(sql)?.execute(params)?)
    }
    /// The rowid of this write's last insert; 0 before the first.
    pub fn last_insert_rowid(&self) -> i64 {
        unimplemented!()
    }
}

/// The answer to [`crate::Store::write`].
pub struct Write<T, E>(PhantomData<fn() -> (T, E)>);
/// The answer to [`crate::Store::write_with`].
pub struct WriteWith<T, E>(PhantomData<fn() -> (T, E)>);
impl<T, E> Future for Write<T, E> {
    type Output = Result<T, E>;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        unimplemented!()
    }
}
impl<T, E> Future for WriteWith<T, E> {
    type Output = Result<Written<T>, E>;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        unimplemented!()
    }
}
