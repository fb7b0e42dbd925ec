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
#![doc = ""]
#![doc = include_str!("../README.md")]

mod awaited;
mod caretaker;
mod checkpoint;
mod config;
mod cut;
mod error;
mod fair;
mod follow;
mod header;
mod lock;
pub mod maintain;
mod mark;
mod migrate;
mod observe;
mod open;
mod pieces;
mod place;
#[cfg_attr(not(monolite_planted), doc(hidden))]
pub mod planted;
mod read;
mod replaced;
mod reply;
mod scrub;
mod shared;
mod slow_log;
mod sqlite;
mod standing;
mod status;
mod store;
mod threads;
mod ticket;
mod wal;
mod wal_behind;
mod wal_bounds;
mod wal_scan;
mod write;

pub use awaited::Reaches;
pub use config::{Config, GroupMax};
pub use cut::{Cut, Join, Joined, Taking};
pub use error::{Constraint, Error, Kind, Result};
pub use follow::{Batch, Follower, Found, Gap, Missed, PAGES_MAX, PageReader, PagesSeen, Urgency, Why};
pub use migrate::{Cursor, Migration, Migrations, Progress, Stepwise};
pub use observe::{CheckpointMode, Observer, SlowRun, SlowWork};
pub use pieces::{LARGE_VALUE_MAX, PIECE_BYTES, PIECES_MAX, Pieces, REMOVED_AT_ONCE};
pub use read::{Read, ReadWith, Seen, Snapshot};
pub use sqlite::write_back::WriteBack;
pub use status::{Check, Copied, Hold, Holder, Reached, State, Status, Waiting, WriterView};
pub use store::Store;
pub use threads::work_behind;
pub use ticket::{Tenant, Ticket};
pub use write::{Tx, Write, WriteWith, Written};

pub use rusqlite;
