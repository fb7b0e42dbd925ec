//! The HTTP edge: a host's routes as an HTTP API, with limits, problems, OpenAPI, health, metrics and a drain.
//!
//! [`router`] makes an [`Edge`] of a host; [`serve`] serves it (or any axum router) from a listener until its [`Stop`]
//! says drain; [`admin_router`] has the metrics.
//!
//! The accept loop is worth having alone, in front of any axum router:
//!
//! ```
//! use monolite_http::{Drained, Limits, Stop, listener, serve};
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let own = axum::Router::new().route("/", axum::routing::get(async || "hello"));
//! let socket = listener(std::net::TcpListener::bind("127.0.0.1:0")?)?;
//! let stop = Stop::new(); // or `Stop::on_signals()?`
//! let server = tokio::spawn(serve(socket, own, Limits { connections_max: 100, ..Limits::default() }, stop.clone()));
//! stop.drain();
//! assert_eq!(server.await?, Drained::Complete);
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?; Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Invariants**
//! - Every queue, payload and wait is bounded by a field of [`HttpConfig`].
//! - Kinds of refusals and failures become statuses in one module; internal texts never leave.
//!
//! Never here: SQL, services, who may sign in.

mod admin;
mod admission;
mod answer;
mod archived;
mod at_least;
mod auth;
mod body;
mod budget;
mod conditional;
mod config;
mod contained;
mod edge;
mod exchange;
mod headers;
mod health;
mod input;
mod metrics;
mod openapi;
mod problem;
mod proxies;
mod serve;
mod status;
mod stream;
mod table;
mod timing;
mod trace;

pub use admin::admin_router;
pub use archived::Archived;
pub use body::Body;
pub use config::{HttpConfig, Limits, Page};
pub use edge::{Edge, RoutesClash, router};
pub use health::{Notice, Notices};
pub use metrics::Metrics;
pub use openapi::document as openapi_document;
pub use problem::{FieldProblem, Problem};
pub use proxies::{NoProxies, Proxies};
pub use serve::{Drained, Listen, Phase, Respond, Stop, listener, serve};
