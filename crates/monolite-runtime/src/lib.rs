//! The engine: opens services on their files, finds handlers, holds deadlines, counts.
//!
//! An [`Assembly`] of services is checked and opened into a [`Host`]; [`Host::call`] is the one verb to use any of them.
//! Routes are neutral data ([`Route`]), which an edge turns into its own.
//!
//! ```
//! use monolite_runtime::Assembly;
//! use monolite_service::*;
//! # use monolite_store::Migration;
//! # use schemars::JsonSchema;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Clone, Serialize, Deserialize, JsonSchema)] struct Count {}
//! # message!(Count => i64);
//! # #[derive(Clone, Serialize, Deserialize, JsonSchema)] struct Raise { by: i64 }
//! # message!(Raise => i64);
//! # let schema = [Migration::Quick { name: "1", sql: "CREATE TABLE counts(n INTEGER) STRICT; INSERT INTO counts VALUES (0)" }];
//! # let folder = tempfile::TempDir::new()?;
//! let counter = Service::new("Counter", Migrations::new(schema))
//!     .write(|tx: &Tx, m: Raise| tx.insert("UPDATE counts SET n = n + ? RETURNING n", [m.by]).map_err(Error::from))
//!     .read(|s: &Snapshot, _: &Count| Ok(s.one("SELECT n FROM counts", [])?.unwrap_or(0)));
//!
//! let host = Assembly::new(folder.path()).service(counter).open()?;
//! assert_eq!(host.call_blocking(&host.system(), Raise { by: 2 })?, 2); // durable when it returns
//! assert_eq!(host.call_blocking(&host.system(), Count {})?, 2); // or `host.call(..).await`, in microseconds
//! host.shutdown()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Invariants**
//! - Nothing is opened before the whole assembly has been checked: no duplicate service, message, route or field.
//! - No async runtime: `std::future`, one timer thread, and one thread for background work if there is any.
//! - A handler's panic fails its own call only.
//!
//! Never here: HTTP, SQL, a service's own types.

mod abreast;
mod assembly;
mod background;
mod block_on;
mod check;
mod cut;
mod host;
mod replace;
mod route;
mod start;
mod stats;
mod timer;
mod writers;

pub use assembly::{Assembly, BackgroundMode, OnDamage};
pub use block_on::block_on;
pub use cut::{Cut, Join, Taking};
pub use host::{Health, Host};
pub use replace::Away;
pub use route::Route;
pub use start::StartError;
pub use stats::{BUCKETS, Counts, Stats, bucket_bound};
pub use writers::{Holding, WaitingTenant, Writer};

pub use monolite_service::edge::{Answer, Large, Rejection, Request, Takes};
pub use monolite_service::engine::{Commit, Replied, Schemas, Tally};
