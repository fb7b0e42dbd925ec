//! The words a service's author uses: `message!`, `Service`, `Tx`, `Snapshot`, `Flow`, `Caller`, `Outcome`.
//!
//! What callers depend on (the contract: message types) is apart from what runs (the implementation: functions with
//! SQL). A service is described here and run by `monolite-runtime`; this crate starts nothing but a [`Pool`]'s threads.
//!
//! ```
//! use monolite_service::*;
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! // contract: no SQL, no HTTP
//! #[derive(Clone, Serialize, Deserialize, JsonSchema)]
//! pub struct AddNote { pub title: String }
//! message!(AddNote => Uuid, check |m, c| c.length("title", &m.title, 1..=200));
//!
//! #[derive(Clone, Serialize, Deserialize, JsonSchema)]
//! pub struct Notes { pub prefix: Option<String>, pub page: PageOf }
//! message!(Notes => Page<Line>);
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! pub struct Line { pub id: Uuid, pub title: String }
//!
//! // implementation
//! pub fn service() -> Service {
//!     Service::new("Notes", Migrations::default()) // migrations![quick "migrations/0001_notes.sql"]
//!         .write(add).at(POST, "/notes", SignedIn).creates("/notes/{id}")
//!         .read(notes).at(GET, "/notes", SignedIn)
//! }
//!
//! fn add(tx: &Tx, m: AddNote) -> Outcome<AddNote> {
//!     tx.insert("INSERT INTO notes(id, owner, title) VALUES (?, ?, ?) RETURNING id", params![tx.id(), tx.user()?, m.title])
//!         .unique(Refused::conflict("title_taken"))
//! }
//!
//! fn notes(s: &Snapshot, m: &Notes) -> Outcome<Notes> {
//!     let query = sql("SELECT id, title FROM notes WHERE owner = ?")
//!         .bind(s.user()?)
//!         .and("substr(title, 1, length(?)) = ?", m.prefix.as_deref());
//!     Ok(s.page(query, &["title", "id"], &m.page)?)
//! }
//! # assert_eq!(service().handlers.len(), 2);
//! ```
//!
//! **How a request becomes a message.** A message's fields are filled from the path, the query and the JSON body, each
//! once; texts are read as the fields' types (a list with commas). A field `page: PageOf` is filled from `limit` and
//! `cursor`, a field `if_match: Option<u64>` from the caller's precondition, a field `body: Json` from the whole body.
//! Unknown and duplicate names are refused.
//!
//! **What an answer is made of.** A reply `()` has no content; `message!(.., version |r| r.version)` gives the version
//! that becomes the `ETag`; `.creates(..)` the place of the new thing; `.streams()` bytes instead of JSON: a [`Blob`], or a
//! [`LargeBlob`] that is read piece by piece as it is taken. `.receive(..)` takes an [`Upload`] as it arrives.
//!
//! Never here: HTTP, an async runtime, a `rusqlite::Connection` in an author's hands.

pub mod edge;
pub mod engine;

mod access;
mod authenticate;
mod blob;
mod bucket;
mod caller;
mod clock;
mod cursor;
mod failure;
mod flow;
mod gauge;
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
mod upload;

pub use access::{Access, Anyone, DELETE, GET, Method, PATCH, POST, PUT, Role, SignedIn};
pub use authenticate::{Authenticator, BoxFuture, Credentials};
pub use blob::{Blob, LargeBlob, Progress};
pub use bucket::Bucket;
pub use caller::{Caller, UserId};
pub use clock::{Clock, Millis, SystemClock};
pub use failure::{Failure, FailureKind};
pub use flow::Flow;
pub use gauge::{Gauge, GaugeKind};
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
pub use units::{days, gib, hours, kib, mib, millis, minutes, seconds};
pub use upload::{Incoming, Upload};

pub use bytes::Bytes;
pub use monolite_store::rusqlite::params;
pub use monolite_store::{
    CheckpointMode, Config, GroupMax, LARGE_VALUE_MAX, Migrations, Observer, PIECE_BYTES, Pieces, SlowRun, SlowWork,
    State as StoreState, Tenant, migrations,
};
pub use uuid::Uuid;
