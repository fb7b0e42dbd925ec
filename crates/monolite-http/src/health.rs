//! Health: whether the process lives, and whether every service serves.
//!
//! **Invariants**
//! - `/livez` asks nothing of any service; a machine reads the status code only.
//! - Why a service does not serve is told on the admin address only.

use crate::body::Body;
use crate::headers;
use crate::serve::{Phase, Stop};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use monolite_runtime::Host;
use monolite_service::StoreState;
use std::fmt::Write;
use std::sync::Arc;

/// Something that the program tells operators of itself in `/readyz?verbose`. It does not decide whether requests should come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether all is well.
    pub good: bool,
    /// What, in one line.
    pub text: String,
}

/// Asked at each verbose look on the admin address.
pub type Notices = Arc<dyn Fn() -> Vec<Notice> + Send + Sync>;

/// How much an answer says beside its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// One word.
    Nothing,
    /// Each check and its state.
    States,
    /// The same with reasons.
    Reasons,
}

/// What `?verbose` asks for.
pub(crate) fn told(query: Option<&str>, most: Told) -> Told {
    let verbose = |query: &str| query.split('&').any(|part| part == "verbose" || part.starts_with("verbose="));
    if query.is_some_and(verbose) { most } else { Told::Nothing }
}

/// The process lives.
pub(crate) fn live() -> Response<Body> {
    text(StatusCode::OK, "ok\n".to_owned())
}

/// Every service serves, and no drain has begun.
pub(crate) fn ready(host: &Host, stop: &Stop, told: Told, notices: Option<&Notices>) -> Response<Body> {
    let mut checks = String::new();
    let mut ready = stop.phase() == Phase::Serving;
    let _ = writeln!(checks, "[{}] accepting", if ready { '+' } else { '-' });
    for health in host.health() {
        let (serves, state) = match &health.status.state {
            StoreState::Serving => (true, "serving".to_owned()),
            StoreState::ReadOnly(why) if told == Told::Reasons => (false, format!("read-only: {why}")),
            StoreState::ReadOnly(_) => (false, "read-only".to_owned()),
            StoreState::Damaged(why) if told == Told::Reasons => (false, format!("damaged: {why}")),
            StoreState::Damaged(_) => (false, "damaged".to_owned()),
            StoreState::Closed => (false, "closed".to_owned()),
        };
        ready &= serves;
        let _ = writeln!(checks, "[{}] {} {state}", if serves { '+' } else { '-' }, health.service);
    }
    for notice in notices.filter(|_| told == Told::Reasons).map(|ask| ask()).unwrap_or_default() {
        let _ = writeln!(checks, "[{}] {}", if notice.good { '+' } else { '!' }, notice.text);
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if ready { "ready\n" } else { "not ready\n" };
    text(status, if told == Told::Nothing { word.to_owned() } else { checks + word })
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, headers::PLAIN_TEXT);
    response.headers_mut().insert(CACHE_CONTROL, headers::NO_STORE);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
