//! The page at `/demo`: four static files inside the executable, under a strict content policy.
//!
//! **Invariants**
//! - Nothing is loaded from elsewhere and no script is inline: the policy would refuse it.
//!
//! Tested in a real browser by `server/demo/test.py`.

use monolite::StaticPage;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files of the page.
pub(crate) fn pages() -> [StaticPage; 4] {
    [
        page("/demo", "text/html; charset=utf-8", include_bytes!("../demo/index.html")),
        page("/demo/demo.js", "text/javascript; charset=utf-8", include_bytes!("../demo/demo.js")),
        page("/demo/demo.css", "text/css; charset=utf-8", include_bytes!("../demo/demo.css")),
        page("/demo/icon.svg", "image/svg+xml", include_bytes!("../demo/icon.svg")),
    ]
}

fn page(path: &'static str, content_type: &'static str, body: &'static [u8]) -> StaticPage {
    StaticPage { path, content_type, policy: POLICY, body }
}
