//! The words a service's author uses: `message!`, `Service`, `Tx`, `Snapshot`, `Flow`, `Caller`, `Outcome`.
//!
//! What callers depend on (the contract: message types) is apart from what runs (the implementation: functions with
//! SQL). A service is described here and run by `monolite-runtime`; this crate starts nothing but a [`Pool`]'s threads.
//!
//! Never here: HTTP, an async runtime, a `rusqlite::Connection` in an author's hands.

pub mod edge;
pub mod engine;

mod access;
mod authenticate;
mod blob;
mod caller;
mod clock;
mod cursor;
mod failure;
mod flow;
mod handler;
mod ids;
mod json;
mod message;
mod outcome;
mod page;
mod pool;
mod query;
mod refusal;
mod rows;
mod service;
mod snapshot;
mod tx;
mod units;

pub use access::{Access, Anyone, DELETE, GET, Method, PATCH, POST, PUT, Role, SignedIn};
pub use authenticate::{Authenticator, BoxFuture, Credentials};
pub use blob::Blob;
pub use caller::{Caller, UserId};
pub use clock::{Clock, Millis, SystemClock};
pub use failure::{Failure, FailureKind};
pub use flow::Flow;
pub use handler::{Plain, WithUpload, WorkKind, WriteHandler};
pub use ids::{Ids, TimeOrdered};
pub use json::Json;
pub use message::{Check, Message};
pub use outcome::{Error, IntoOutcome, OrRefuse, Outcome, Translate};
pub use page::{PAGE_DEFAULT, PAGE_MAX, Page, PageOf};
pub use pool::Pool;
pub use query::{Query, sql};
pub use refusal::{FieldError, Refusal, RefusalKind, Refused};
pub use service::{Background, Endpoint, HandlerSpec, Service};
pub use snapshot::Snapshot;
pub use tx::Tx;
pub use units::{days, hours, kib, mib, millis, minutes, seconds};

pub use bytes::Bytes;
pub use monolite_store::rusqlite::params;
pub use monolite_store::{CheckpointMode, Config, Migrations, Observer, State as StoreState, migrations};
pub use uuid::Uuid;
