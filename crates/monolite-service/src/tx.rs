//! A write in progress: a snapshot that can change.
//!
//! **Invariants**
//! - It may run more than once, and only its last run counts: no effects but through it.
//! - It cannot call another service.

use crate::caller::Caller;
use crate::engine::Site;
use crate::failure::Failure;
use crate::snapshot::Snapshot;
use monolite_store as store;
use monolite_store::rusqlite::Params;
use serde::de::DeserializeOwned;
use std::ops::Deref;
use uuid::Uuid;

/// A write in progress on the service's file.
pub struct Tx<'a> {
    snapshot: Snapshot<'a>,
    tx: &'a store::Tx<'a>,
    site: &'a Site,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(tx: &'a store::Tx<'a>, caller: &'a Caller, site: &'a Site) -> Self {
        Tx { snapshot: Snapshot::new(tx, caller, site), tx, site }
    }

    /// Runs a statement that answers no rows; the number of rows it changed.
    pub fn run(&self, sql: &str, params: impl Params) -> Result<usize, Failure> {
        Ok(self.prepare(sql)?.execute(params)?)
    }

    /// Runs `INSERT .. RETURNING ..` and answers its row.
    pub fn insert<T: DeserializeOwned>(&self, sql: &str, params: impl Params) -> Result<T, Failure> {
        self.one(sql, params)?.ok_or_else(|| Failure::internal("an INSERT returned no row"))
    }

    /// A fresh id: UUIDv7, ascending.
    pub fn id(&self) -> Uuid {
        self.site.ids.id(self.now())
    }

    /// The store's own write, with rusqlite's statement methods.
    pub fn store(&self) -> &store::Tx<'a> {
        self.tx
    }
}

impl<'a> Deref for Tx<'a> {
    type Target = Snapshot<'a>;
    fn deref(&self) -> &Snapshot<'a> {
        &self.snapshot
    }
}
