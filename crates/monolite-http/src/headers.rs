//! Header values that never change, made at compile time.

use http::{HeaderName, HeaderValue};

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
pub(crate) const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(crate) const METRICS_TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
pub(crate) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
pub(crate) const CLOSE: HeaderValue = HeaderValue::from_static("close");
pub(crate) const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"monolite\"");
pub(crate) const NO_STATEMENTS: HeaderValue = HeaderValue::from_static("db;dur=0;desc=\"0 statements\"");

pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
pub(crate) const MONOLITE_COMMIT: HeaderName = HeaderName::from_static("monolite-commit");
pub(crate) const MONOLITE_AT_LEAST: HeaderName = HeaderName::from_static("monolite-at-least");
pub(crate) const MONOLITE_ARCHIVED: HeaderName = HeaderName::from_static("monolite-archived");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

// draft-ietf-httpbis-resumable-upload
pub(crate) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(crate) const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
pub(crate) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(crate) const BYTES: HeaderValue = HeaderValue::from_static("bytes");
