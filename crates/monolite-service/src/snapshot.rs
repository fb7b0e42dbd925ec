//! Snapshots: one consistent state of a service's file, and what a read may do with it.
//!
//! **Invariants**
//! - No `rusqlite::Connection` is reachable from here: its safe methods could break the store's promises.
//! - `now` is the same all through one run of a handler.

use crate::caller::{Caller, UserId};
use crate::clock::Millis;
use crate::engine::Site;
use crate::failure::Failure;
use crate::page::{Page, PageOf};
use crate::query::Query;
use monolite_store as store;
use monolite_store::rusqlite::Params;
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
    pub fn one<T: DeserializeOwned>(&self, _sql: &str, _params: impl Params) -> Result<Option<T>, Failure> {
        unimplemented!()
    }

    /// All rows of a query that is known to be short.
    pub fn all<T: DeserializeOwned>(&self, _sql: &str, _params: impl Params) -> Result<Vec<T>, Failure> {
        unimplemented!()
    }

    /// One page of a query in the order of its keys. The keys are columns of the query, together unique; `"at desc"` descends.
    pub fn page<T: DeserializeOwned>(&self, _query: Query, _keys: &[&str], _of: &PageOf) -> Result<Page<T>, Failure> {
        unimplemented!()
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
