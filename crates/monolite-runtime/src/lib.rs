//! The engine: opens services on their files, finds handlers, holds deadlines, counts.
//!
//! An [`Assembly`] of services is checked and opened into a [`Host`]; [`Host::call`] is the one verb to use any of them.
//! Routes are neutral data ([`Route`]), which an edge turns into its own.
//!
//! **Invariants**
//! - Nothing is opened before the whole assembly has been checked: no duplicate service, message, route or field.
//! - No async runtime: `std::future`, one timer thread, and one thread for background work if there is any.
//! - A handler's panic fails its own call only.
//!
//! Never here: HTTP, SQL, a service's own types.

mod assembly;
mod background;
mod block_on;
mod check;
mod host;
mod route;
mod start;
mod stats;
mod timer;

pub use assembly::{Assembly, BackgroundMode};
pub use block_on::block_on;
pub use host::{Health, Host};
pub use route::Route;
pub use start::StartError;
pub use stats::{BUCKETS, Counts, Stats, bucket_bound};

pub use monolite_service::edge::{Answer, Rejection, Request, Takes};
pub use monolite_service::engine::{Commit, Replied, Schemas, Tally};
