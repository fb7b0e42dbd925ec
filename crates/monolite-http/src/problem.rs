//! Problems: what every refused request is answered with (RFC 9457).
//!
//! **Invariants**
//! - `code` is stable and snake_case; `type` is a name made of it.
//! - Nothing internal is in it: no SQL, no path of the machine, no source of an error.
//!
//! Never here: which failure has which status (see `status.rs`).

use crate::body::Body;
use crate::headers;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

/// One problem, before it is written. One pointer wide, so that a `Result` stays small.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: Cow<'static, str>,
    service: Option<&'static str>,
    retryable: bool,
    retry_after: Option<Duration>,
    errors: Vec<FieldProblem>,
    headers: Vec<(HeaderName, HeaderValue)>,
    closes: bool,
}

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// Where, as a JSON pointer into the message.
    pub pointer: String,
    /// The stable code.
    pub code: Cow<'static, str>,
    /// What is wrong, for people.
    pub detail: String,
}

#[derive(Serialize)]
struct Written<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instance: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_id: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldProblem],
}

impl Problem {
    /// A problem with a status, a code and a text.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Problem(Box::new(Inner {
            status,
            code: code.into(),
            detail: detail.into(),
            service: None,
            retryable: false,
            retry_after: None,
            errors: Vec::new(),
            headers: Vec::new(),
            closes: false,
        }))
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable code that programs branch on.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The same with wrong fields.
    pub fn with_errors(mut self, errors: Vec<FieldProblem>) -> Self {
        self.0.errors = errors;
        self
    }

    /// The same with a header: the methods that the path knows, what there would be a part of, or of a change that was done
    /// all the same.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The same, and the same request may work later.
    pub fn retryable(mut self, after: Option<Duration>) -> Self {
        self.0.retryable = true;
        self.0.retry_after = after;
        self
    }

    /// The same, said by a service.
    pub fn of_service(mut self, service: &'static str) -> Self {
        self.0.service = Some(service);
        self
    }

    /// The same, and the connection is closed after it.
    pub fn closing(mut self) -> Self {
        self.0.closes = true;
        self
    }

    /// The JSON text, for the request with this path in this trace.
    pub fn text(&self, instance: &str, trace_id: &str) -> Vec<u8> {
        let written = Written {
            r#type: format!("urn:monolite:problem:{}", self.0.code),
            title: self.0.status.canonical_reason().unwrap_or("Problem"),
            status: self.0.status.as_u16(),
            detail: &self.0.detail,
            instance,
            code: &self.0.code,
            service: self.0.service,
            trace_id,
            retryable: self.0.retryable,
            errors: &self.0.errors,
        };
        serde_json::to_vec(&written).expect("strings and numbers are always JSON")
    }

    /// The answer, for the request with this path in this trace.
    pub fn answer(&self, instance: &str, trace_id: &str) -> Response<Body> {
        let mut response = Response::new(Body::from(self.text(instance, trace_id)));
        *response.status_mut() = self.0.status;
        let to = response.headers_mut();
        to.insert(CONTENT_TYPE, headers::PROBLEM_JSON);
        to.insert(CACHE_CONTROL, headers::NO_STORE);
        if self.0.status == StatusCode::UNAUTHORIZED {
            to.insert(WWW_AUTHENTICATE, headers::BEARER);
        }
        if let Some(after) = self.seconds() {
            to.insert(RETRY_AFTER, HeaderValue::from(after));
        }
        to.extend(self.0.headers.iter().cloned());
        if self.0.closes {
            to.insert(CONNECTION, headers::CLOSE);
        }
        response
    }

    /// A whole answer as bytes, for a connection that has no HTTP machine (any more).
    pub(crate) fn raw(&self) -> Vec<u8> {
        let text = self.text("", "");
        let retry = self.seconds().map_or(String::new(), |after| format!("retry-after: {after}\r\n"));
        let head = format!(
            "HTTP/1.1 {}\r\ncontent-type: application/problem+json\r\n{retry}content-length: {}\r\nconnection: close\r\n\r\n",
            self.0.status,
            text.len()
        );
        [head.as_bytes(), &text].concat()
    }

    /// `Retry-After` in whole seconds, at least one; always there on 429 and 503.
    fn seconds(&self) -> Option<u64> {
        let must = matches!(self.0.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        match self.0.retry_after {
            Some(after) => Some(after.as_millis().div_ceil(1000).max(1) as u64),
            None if must => Some(1),
            None => None,
        }
    }
}
