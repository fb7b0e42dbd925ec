//! Answers: from what a call came to, to what goes over the wire.

use crate::body::Body;
use crate::conditional::{if_none_match, tag};
use crate::headers::{self, MONOLITE_COMMIT};
use crate::input::Fault;
use crate::table::{Compiled, PREFIX};
use crate::timing;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use monolite_runtime::Answer;
use monolite_service::WorkKind;

/// Headers of an answer, so that the map is made once.
const HEADERS: usize = 12;

/// The response of an answer.
pub(crate) fn of(
    answer: Answer,
    route: &Compiled,
    asked: &HeaderMap,
    signed_in: bool,
) -> Result<Response<Body>, Fault> {
    let mut to = HeaderMap::with_capacity(HEADERS);
    if let Some(version) = answer.version {
        to.insert(ETAG, tag(version));
    }
    if signed_in || route.method != Method::GET {
        to.insert(CACHE_CONTROL, headers::NO_STORE);
    }
    if route.method == Method::GET
        && let Some(known) = asked.get(IF_NONE_MATCH)
        && if_none_match(known, answer.version)?
    {
        return Ok(response(StatusCode::NOT_MODIFIED, to, Body::empty()));
    }
    if route.route.kind == WorkKind::Write
        && let Some(commit) = answer.commit
    {
        to.insert(MONOLITE_COMMIT, timing::commit(commit.service, commit.sequence));
    }
    let status = match answer.location {
        Some(location) => {
            to.insert(LOCATION, located(&location));
            StatusCode::CREATED
        }
        None if answer.body.is_empty() && answer.content_type.is_none() => StatusCode::NO_CONTENT,
        None => StatusCode::OK,
    };
    match answer.content_type {
        Some(kind) => {
            let kind = HeaderValue::try_from(kind);
            to.insert(CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream")));
            // Bytes that somebody uploaded never run as a page of ours.
            to.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
        }
        None if answer.body.is_empty() => {}
        None => {
            to.insert(CONTENT_TYPE, headers::JSON);
        }
    }
    Ok(response(status, to, Body::from(answer.body)))
}

fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The path with what a header may not hold percent-encoded.
fn located(location: &str) -> HeaderValue {
    let mut path = String::with_capacity(PREFIX.len() + location.len());
    path.push_str(PREFIX);
    for byte in location.bytes() {
        if byte.is_ascii_graphic() {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    HeaderValue::try_from(path).expect("printable characters are a header's value")
}
