//! Answers: from what a call came to, to what goes over the wire.
//!
//! **Invariants**
//! - Bytes that somebody brought never run as a page of ours.
//! - A content that is still arriving is never shown.

use crate::archived;
use crate::body::Body;
use crate::conditional::{if_match, if_none_match, tag};
use crate::exchange::Exchange;
use crate::headers::{self, MONOLITE_COMMIT};
use crate::problem::Problem;
use crate::status;
use crate::stream::{self, Part};
use crate::table::{Compiled, PREFIX};
use crate::timing;
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_MATCH, IF_NONE_MATCH, LOCATION,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use monolite_runtime::Answer;
use monolite_service::{Caller, WorkKind};
use std::sync::Arc;

/// Headers of an answer, so that the map is made once.
const HEADERS: usize = 12;

/// The response of an answer; `fork` is the history that the service's file had before it was asked.
pub(crate) fn of(
    answer: Answer,
    route: &Arc<Compiled>,
    exchange: &Exchange<'_>,
    caller: &Caller,
    fork: Option<u32>,
) -> Result<Response<Body>, Problem> {
    let asked = exchange.parts;
    let mut to = HeaderMap::with_capacity(HEADERS);
    if let Some(version) = answer.version {
        to.insert(ETAG, tag(version, fork));
    }
    if caller.user().is_some() || route.method != Method::GET {
        to.insert(CACHE_CONTROL, headers::NO_STORE);
    }
    if let Some(progress) = &answer.progress {
        stream::progress(&mut to, progress);
        if !progress.complete && answer.large.is_some() {
            return arriving(to, &asked.method);
        }
    }
    if route.method == Method::GET && is_known(&asked.headers, answer.version, fork)? {
        return Ok(response(StatusCode::NOT_MODIFIED, to, Body::empty()));
    }
    if let Some(commits) = commits(&answer, route, exchange) {
        to.insert(MONOLITE_COMMIT, commits);
    }
    if answer.content_type.is_some() {
        return blob(to, answer, route, exchange, caller);
    }
    let status = match answer.location {
        Some(location) => {
            to.insert(LOCATION, located(&location));
            StatusCode::CREATED
        }
        None if answer.body.is_empty() => StatusCode::NO_CONTENT,
        None => StatusCode::OK,
    };
    if !answer.body.is_empty() {
        to.insert(CONTENT_TYPE, headers::JSON);
    }
    Ok(response(status, to, Body::from(answer.body)))
}

/// Whether who reads has this version already; refuses one that was not asked for.
fn is_known(asked: &HeaderMap, version: Option<u64>, fork: Option<u32>) -> Result<bool, Problem> {
    if let Some(wanted) = asked.get(IF_MATCH)
        && version != Some(if_match(wanted, fork).map_err(status::of_fault)?)
    {
        let detail = "this is not the version of If-Match; ask without it for the current one";
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "stale", detail));
    }
    let Some(known) = asked.get(IF_NONE_MATCH) else { return Ok(false) };
    if_none_match(known, version, fork).map_err(status::of_fault)
}

/// The commits that hold what was changed: of a flow the last in each file.
fn commits(answer: &Answer, route: &Compiled, exchange: &Exchange<'_>) -> Option<HeaderValue> {
    match route.route.kind {
        WorkKind::Read => None,
        WorkKind::Write => answer.commit.map(|commit| timing::commit(commit.service, commit.sequence)),
        WorkKind::Flow => archived::listed(&exchange.tally.commits()),
    }
}

/// A blob, or the part of it that is asked for.
fn blob(
    mut to: HeaderMap,
    answer: Answer,
    route: &Arc<Compiled>,
    exchange: &Exchange<'_>,
    caller: &Caller,
) -> Result<Response<Body>, Problem> {
    let kind = answer.content_type.as_deref().map(HeaderValue::try_from);
    let kind = kind.and_then(Result::ok).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    to.insert(CONTENT_TYPE, kind);
    to.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    if let Some(name) = &answer.attachment {
        to.insert(CONTENT_DISPOSITION, attachment(name));
    }
    let length = answer.large.as_ref().map_or(answer.body.len() as u64, |large| large.length);
    let is_get = exchange.parts.method == Method::GET;
    if route.method == Method::GET {
        to.insert(ACCEPT_RANGES, headers::BYTES);
    }
    let (status, range) = match stream::part(&exchange.parts.headers, length, to.get(ETAG)) {
        Part::Some(range) if is_get => {
            to.insert(CONTENT_RANGE, printed(&format!("bytes {}-{}/{length}", range.start, range.end - 1)));
            (StatusCode::PARTIAL_CONTENT, range)
        }
        Part::Beyond if is_get => {
            return Err(beyond(length));
        }
        _ => (StatusCode::OK, 0..length),
    };
    let body = match answer.large {
        Some(large) => stream::departing(exchange, route, caller, large, range)?,
        None => {
            let place = |byte: u64| usize::try_from(byte).expect("a part of what is in memory is in memory");
            Body::from(answer.body.slice(place(range.start)..place(range.end)))
        }
    };
    Ok(response(status, to, body))
}

fn beyond(length: u64) -> Problem {
    let detail = format!("the part begins behind the end, there are {length} bytes");
    let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", detail);
    problem.with_header(CONTENT_RANGE, printed(&format!("bytes */{length}")))
}

/// A HEAD learns where an upload goes on; a GET would take what is there for the whole.
fn arriving(to: HeaderMap, method: &Method) -> Result<Response<Body>, Problem> {
    if method == Method::HEAD {
        return Ok(response(StatusCode::NO_CONTENT, to, Body::empty()));
    }
    let detail = "not all of its bytes are here; HEAD says how many";
    Err(Problem::new(StatusCode::CONFLICT, "upload_incomplete", detail))
}

fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The path with what a header may not hold percent-encoded.
pub(crate) fn located(location: &str) -> HeaderValue {
    let mut path = String::with_capacity(PREFIX.len() + location.len());
    path.push_str(PREFIX);
    for byte in location.bytes() {
        if byte.is_ascii_graphic() {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    HeaderValue::from_maybe_shared(Bytes::from(path)).expect("printable characters are a header's value")
}

/// `attachment` with the name in plain letters, and whole as RFC 8187 writes it.
fn attachment(name: &str) -> HeaderValue {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " ._-+()".contains(c);
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut text = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        text.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    printed(&text)
}

fn printed(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).expect("printable characters are a header's value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_file_cannot_leave_its_header() {
        assert_eq!(attachment("a b.txt"), "attachment; filename=\"a b.txt\"");
        let odd = "attachment; filename=\"a__r_.html\"; filename*=UTF-8''a%22%0D%C3%A9.html";
        assert_eq!(attachment("a\"\ré.html"), odd.replace("a__r_", "a___"));
    }
}
