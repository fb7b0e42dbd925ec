//! One SQLite file, used to its limit.
//!
//! A [`Store`] owns one database file: a single writer thread commits many callers' writes with one fsync,
//! reads run on the calling thread in microseconds, and checkpoints happen beside the writer.
//! It is synchronous at heart, owns its threads, needs no async runtime and works with all of them.
//!
//! **Invariants**
//! - A write's reply implies durability: it leaves after the fsync of its group.
//! - A read never sees less than what was acknowledged before it began.
//! - "database is locked" does not exist inside; every wait is bounded and its end is a typed error.
//!
//! Absent on purpose: an async runtime, services, HTTP, retries of an fsync.

mod config;
mod error;
#[allow(dead_code)] // until the store opens files
mod header;
#[allow(dead_code)]
mod lock;
#[allow(dead_code, unused_imports)]
mod migrate;
mod observe;
#[allow(dead_code)]
mod place;
mod read;
#[allow(dead_code)]
mod sqlite {
    #[allow(unsafe_code)]
    pub(crate) mod version;
}
mod store;
mod ticket;
#[allow(dead_code)]
mod wal;
mod write;

pub use config::Config;
pub use error::{Constraint, Error, Kind, Result};
pub use migrate::{Cursor, Migration, Migrations, Progress, Stepwise};
pub use observe::{CheckpointMode, Observer};
pub use read::{Read, ReadWith, Seen, Snapshot};
pub use store::{Check, Copied, Holder, State, Status, Store};
pub use ticket::{Tenant, Ticket};
pub use write::{Tx, Write, WriteWith, Written};

pub use rusqlite;
