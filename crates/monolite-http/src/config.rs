//! The edge's limits and switches: plain values, one place, all with defaults.
//!
//! **Invariants**
//! - Every queue, payload and wait of this crate is bounded by a field here.
//!
//! Never here: parsing of files, environment or flags (the command line fills these fields).

use crate::archived::Archived;
use crate::proxies::Proxies;
use std::sync::Arc;
use std::time::Duration;

/// Limits on connections, headers and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once; one more is answered 503 and closed.
    pub connections_max: usize,
    /// Headers in one request; more are answered 431. At most 100.
    pub headers_max: usize,
    /// Bytes of all header names and values of one request; more are answered 431.
    pub header_bytes_max: usize,
    /// Bytes of the request target; more are answered 414.
    pub target_bytes_max: usize,
    /// From a connection's opening, or from the last answer, to the end of the next request's headers.
    pub header_wait: Duration,
    /// From the end of a request's headers to the start of its answer.
    pub request_time: Duration,
    /// In which a sender must bring each 64 KiB of an upload that is taken as it arrives; for those there is no
    /// `request_time`.
    pub piece_time: Duration,
    /// In which a peer must take each 64 KiB of an answer that waits for it.
    pub take_time: Duration,
    /// How long requests in flight may go on after the drain began.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 4096,
            headers_max: 64,
            header_bytes_max: 16 * 1024,
            target_bytes_max: 8 * 1024,
            header_wait: Duration::from_secs(30),
            request_time: Duration::from_secs(30),
            piece_time: Duration::from_secs(30),
            take_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(30),
        }
    }
}

/// What the routes need to know beside the host.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Limits on connections, headers and time.
    pub limits: Limits,
    /// Bytes of a request body, for a route that states no limit of its own.
    pub body_max: usize,
    /// Bytes of all bodies together that are being read or worked on; one more waits for [`HttpConfig::body_wait`] and is
    /// then refused. At least as much as the largest body.
    pub bodies_max: usize,
    /// How long a body waits for room.
    pub body_wait: Duration,
    /// The longest pause within a body.
    pub body_pause: Duration,
    /// Uploads taken as they arrive and large blobs on their way out, at once; one more is refused.
    pub streams_max: usize,
    /// How many of them one tenant may have.
    pub streams_tenant_max: usize,
    /// Changes of one service under way at once; fewer while its writer is slow.
    pub changes_max: usize,
    /// How long changes may wait for a service's writer before more are refused; longer where commits take long.
    pub writer_wait: Duration,
    /// Nesting of a JSON body; the outermost value is depth 1.
    pub json_depth_max: usize,
    /// Bodies above this are checked and decoded off the async workers.
    pub inline_body_max: usize,
    /// Proxies that are believed when they say in `X-Forwarded-For` whose request it is; none by default.
    pub trusted_proxies: Proxies,
    /// The archive that answers wait for; none by default.
    pub archived: Option<Arc<dyn Archived>>,
    /// The program's name, in the OpenAPI document and in `/up`.
    pub title: String,
    /// The program's version, in the OpenAPI document.
    pub version: String,
    /// Static pages served at an exact path, for example the demo.
    pub pages: Vec<Page>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            limits: Limits::default(),
            body_max: 1024 * 1024,
            bodies_max: 256 * 1024 * 1024,
            body_wait: Duration::from_millis(500),
            body_pause: Duration::from_secs(10),
            streams_max: 256,
            streams_tenant_max: 32,
            changes_max: 8192,
            writer_wait: Duration::from_millis(50),
            json_depth_max: 64,
            inline_body_max: 16 * 1024,
            trusted_proxies: Proxies::default(),
            archived: None,
            title: "monolite".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pages: Vec::new(),
        }
    }
}

/// One static page, kept in the executable.
#[derive(Debug, Clone)]
pub struct Page {
    /// The exact path, for example `/demo`.
    pub path: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Its `Content-Security-Policy`.
    pub policy: &'static str,
    /// Its bytes.
    pub body: &'static [u8],
}
