//! The page at `/demo`: four static files inside the executable, under a strict content policy.
//!
//! **Invariants**
//! - Nothing is loaded from elsewhere and no script is inline: the policy would refuse it.
//!
//! Tested in a real browser by `server/demo/test.py`.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::routing::{MethodRouter, get};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes of the page.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/demo", file("text/html; charset=utf-8", include_str!("../demo/index.html")))
        .route("/demo/demo.js", file("text/javascript; charset=utf-8", include_str!("../demo/demo.js")))
        .route("/demo/demo.css", file("text/css; charset=utf-8", include_str!("../demo/demo.css")))
        .route("/demo/icon.svg", file("image/svg+xml", include_str!("../demo/icon.svg")))
}

fn file<S: Clone + Send + Sync + 'static>(content_type: &'static str, text: &'static str) -> MethodRouter<S> {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    get(move || async move { (headers, text) })
}
