//! Snapshots: one consistent state of a service's file, and what a read may do with it.
//!
//! **Invariants**
//! - No `rusqlite::Connection` is reachable from here: its safe methods could break the store's promises.
//! - `now` is the same all through one run of a handler.

use crate::caller::{Caller, UserId};
use crate::clock::Millis;
use crate::engine::Site;
use crate::failure::Failure;
use crate::page::{self, Page, PageOf};
use crate::query::Query;
use crate::rows;
use monolite_store as store;
use monolite_store::rusqlite::{CachedStatement, Params};
use serde::de::DeserializeOwned;
use std::cell::Cell;

/// One consistent state of the service's file, with the caller, the time, and rows by serde.
pub struct Snapshot<'a> {
    db: &'a store::Snapshot<'a>,
    caller: &'a Caller,
    site: &'a Site,
    now: Cell<Option<Millis>>,
    statements: Cell<u32>,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn new(db: &'a store::Snapshot<'a>, caller: &'a Caller, site: &'a Site) -> Self {
        Snapshot { db, caller, site, now: Cell::new(None), statements: Cell::new(0) }
    }

    /// The first row of a query, if there is one. Columns become fields by name; a single column may become a plain value.
    pub fn one<T: DeserializeOwned>(&self, sql: &str, params: impl Params) -> Result<Option<T>, Failure> {
        let mut statement = self.prepare(sql)?;
        let changes = !statement.readonly();
        let mut rows = statement.query(params)?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let value = rows::read(row, rows::Columns::Unseen)?;
        // A statement that changes (`DELETE .. RETURNING`) checks its foreign keys only at its end.
        while changes && rows.next()?.is_some() {}
        Ok(Some(value))
    }

    /// All rows of a query that is known to be short.
    pub fn all<T: DeserializeOwned>(&self, sql: &str, params: impl Params) -> Result<Vec<T>, Failure> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params)?;
        let mut values = Vec::new();
        let mut columns = rows::Columns::Unseen;
        while let Some(row) = rows.next()? {
            values.push(rows::read(row, columns)?);
            columns = rows::Columns::Known;
        }
        Ok(values)
    }

    /// One page of a query in the order of its keys. The keys are columns of the query, NOT NULL and together unique;
    /// `"at desc"` descends.
    ///
    /// Errors: a limit out of bounds and a cursor of another list are `Invalid`, with the field.
    pub fn page<T: DeserializeOwned>(&self, query: Query, keys: &[&str], of: &PageOf) -> Result<Page<T>, Failure> {
        page::read(self, query, keys, of)
    }

    /// A statement with rusqlite's methods, kept prepared.
    pub fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, Failure> {
        if let Some(watch) = &self.site.watch {
            watch(self.site.service, sql);
        }
        self.prepare_composed(sql)
    }

    /// The same for a text that is made from parts, which nobody can register.
    pub(crate) fn prepare_composed(&self, sql: &str) -> Result<CachedStatement<'_>, Failure> {
        self.statements.set(self.statements.get() + 1);
        Ok(self.db.prepare(sql)?)
    }

    /// The signed-in user; without one, the failure that says to sign in first.
    pub fn user(&self) -> Result<UserId, Failure> {
        self.caller.require_user()
    }

    /// The caller.
    pub fn caller(&self) -> &Caller {
        self.caller
    }

    /// The time, the same all through this run of the handler.
    pub fn now(&self) -> Millis {
        match self.now.get() {
            Some(now) => now,
            None => {
                let now = self.site.clock.now();
                self.now.set(Some(now));
                now
            }
        }
    }

    /// Announces that a value of this many bytes will be read (select its `octet_length` first); a large one moves
    /// the read to the slow lane.
    pub fn gate(&self, bytes: u64) -> Result<(), Failure> {
        Ok(self.db.gate(bytes)?)
    }

    /// The last commit this snapshot contains.
    pub fn sequence(&self) -> u64 {
        self.db.sequence()
    }

    pub(crate) fn statements(&self) -> u32 {
        self.statements.get()
    }

    /// The store's own snapshot, with rusqlite's statement methods.
    pub fn store(&self) -> &store::Snapshot<'a> {
        self.db
    }
}
