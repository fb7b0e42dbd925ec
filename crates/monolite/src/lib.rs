//! Many services, one executable, one SQLite file each.
//!
//! [`App`] puts services together into a program with an HTTP edge and a command line; [`Service`], [`message!`] and
//! their neighbours are what services are written with; `monolite::testing` (feature `testing`) tests them.
//!
//! **Invariants**
//! - Only this crate and the edge know an async runtime; services and the store do not.
//! - Data goes to stdout, logs to stderr; exit codes are 0 done, 1 failed, 2 asked for wrongly.
//!
//! Absent on purpose: SQL, HTTP types beyond an axum router, state of its own.

mod app;
mod archive;
mod context;
mod run;
mod table;
mod verb;

pub mod config;
mod standard_keys;
mod store_keys;
mod weights;

mod commands;
mod control;
mod descriptors;
mod explain;
mod export;
mod folder;
mod interrupt;
mod link;
mod logs;
mod notify;
mod output;
mod progress;
mod rewind;
mod serving;
mod sql;
mod status;
mod terminal;

pub use app::App;
pub use context::Context;
pub use interrupt::on_interrupt;
pub use link::Link;
pub use output::{Output, note, size};
pub use progress::Progress;
pub use terminal::{new_password, password};
pub use verb::{Found, Result, SetByFlag, Usage, Verb};

pub use monolite_http::{HttpConfig, Page as StaticPage};
pub use monolite_runtime::{Assembly, BackgroundMode, Cut, Host, Join, StartError, block_on};
pub use monolite_service::*;
pub use monolite_store as store;

#[cfg(feature = "testing")]
pub use monolite_testkit as testing;

/// Monolite's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
