//! The edge: from a request to its answer, for all paths.
//!
//! Routes of services are matched by a table of our own and answered without a stack of layers; health, the OpenAPI document and
//! static pages have fixed paths; everything else goes to the program's own axum router.
//!
//! **Invariants**
//! - Every answer has `Server-Timing` and `X-Content-Type-Options`; every refusal is a problem.
//! - A panic is answered 500 and ends nothing else.
//! - Heads above the limits are refused before anything is matched.

use crate::archived::Archived;
use crate::body::Body;
use crate::budget::Budget;
use crate::config::{HttpConfig, Limits, Page};
use crate::contained::contained;
use crate::exchange::{Exchange, method_not_allowed, unfinished};
use crate::headers::{self, SERVER_TIMING, TRACEPARENT, X_REQUEST_ID};
use crate::health;
use crate::metrics::{Metrics, RouteMeter};
use crate::openapi;
use crate::problem::Problem;
use crate::proxies::Proxies;
use crate::serve::{Respond, Stop};
use crate::stream::Places;
use crate::table::{Gates, PREFIX, Table};
use crate::timing;
use crate::trace::{self, Trace};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use monolite_runtime::{Host, Tally};
use monolite_service::WorkKind;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Answers requests. Clones are handles to the same edge.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

pub(crate) struct Inner {
    host: Host,
    table: Table,
    pages: Vec<Page>,
    openapi: Bytes,
    extra: axum::Router,
    metrics: Metrics,
    other: Arc<RouteMeter>,
    stop: Stop,
    pub(crate) limits: Limits,
    pub(crate) budget: Arc<Budget>,
    pub(crate) body_pause: Duration,
    pub(crate) places: Arc<Places>,
    pub(crate) json_depth_max: usize,
    pub(crate) inline_body_max: usize,
    proxies: Proxies,
    pub(crate) archived: Option<Arc<dyn Archived>>,
}

/// Two routes do not fit beside each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutesClash(String);

impl fmt::Display for RoutesClash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the routes do not fit: {}", self.0)
    }
}

impl std::error::Error for RoutesClash {}

/// The edge of a host: its routes under `/api/v1`, health, `/openapi.json`, the configured pages, and `extra` for the rest.
///
/// # Errors
/// When two routes cannot be told apart.
pub fn router(
    host: &Host,
    config: &HttpConfig,
    metrics: &Metrics,
    stop: &Stop,
    extra: axum::Router,
) -> Result<Edge, RoutesClash> {
    bodies_fit(host, config.body_max)?;
    bodies_have_room(host, config.body_max, config.bodies_max)?;
    let gate = |service| {
        let store = host.store(service).map(|store| store.config().clone()).unwrap_or_default();
        (service, metrics.gate(service, config.writer_wait, config.changes_max, store.group_max()))
    };
    let gates: Gates = host.services().map(gate).collect();
    let table = Table::of(host.routes(), config.body_max, metrics, &gates).map_err(RoutesClash)?;
    let document = openapi::document(host.routes(), &config.title, &config.version);
    Ok(Edge(Arc::new(Inner {
        host: host.clone(),
        table,
        pages: config.pages.clone(),
        openapi: Bytes::from(document.to_string()),
        extra,
        metrics: metrics.clone(),
        other: metrics.route("ANY", "other"),
        stop: stop.clone(),
        limits: config.limits.clone(),
        budget: metrics.budget(Budget::new(config.bodies_max, config.body_wait)),
        body_pause: config.body_pause,
        places: metrics.places(Places::new(config.streams_max, config.streams_tenant_max)),
        json_depth_max: config.json_depth_max,
        inline_body_max: config.inline_body_max,
        proxies: config.trusted_proxies.clone(),
        archived: config.archived.clone(),
    })))
}

/// A body for which there is never room is not invited.
fn bodies_have_room(host: &Host, body_max: usize, bodies_max: usize) -> Result<(), RoutesClash> {
    let whole = host.routes().iter().filter(|route| !route.receives);
    let largest = whole.map(|route| route.body_max.unwrap_or(body_max as u64)).max();
    match largest {
        Some(largest) if largest > bodies_max as u64 => Err(RoutesClash(format!(
            "http.bodies_max, {bodies_max} bytes, is below the largest body, {largest} bytes: it would never have room"
        ))),
        _ => Ok(()),
    }
}

/// A body that no value of a service may hold is refused before anybody sends one.
fn bodies_fit(host: &Host, body_max: usize) -> Result<(), RoutesClash> {
    for route in host.routes().iter().filter(|route| route.body_max.is_none()) {
        let max = host.store(route.service).map_or(u64::MAX, |store| store.config().value_max);
        if body_max as u64 > max {
            let (service, path) = (route.service, route.path);
            let why =
                format!("http.body_max, {body_max} bytes, at {path} is above value_max of {service}, {max} bytes");
            return Err(RoutesClash(why));
        }
    }
    Ok(())
}

impl Respond for Edge {
    async fn respond(self, peer: IpAddr, request: Request<Incoming>) -> Response<Body> {
        self.answer(peer, request).await
    }
}

impl Edge {
    /// Answers one request of the peer, or of whom it speaks for where it is a trusted proxy.
    pub async fn answer<B>(self, peer: IpAddr, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
    {
        let inner = &*self.0;
        let began = Instant::now();
        let _in_flight = InFlight::of(&inner.metrics);
        let (parts, body) = request.into_parts();
        let peer = inner.proxies.client(peer, &parts.headers);
        let trace = Trace::of(parts.headers.get(TRACEPARENT));
        let path = parts.uri.path();
        let (host, tally) = inner.host.tallied();
        let (answered, meter) = match inner.check_head(&parts) {
            Err(problem) => (Err(problem), &inner.other),
            Ok(()) => match path.strip_prefix(PREFIX).and_then(|path| inner.table.at(path)) {
                Some((at, params)) => {
                    let meter = at.find(&parts.method).map_or(&inner.other, |route| &route.meter);
                    let exchange = Exchange { inner, host: &host, tally: &tally, parts: &parts, peer, began, trace };
                    (exchange.run(at, params, body).await, meter)
                }
                None => (inner.elsewhere(&parts, body, peer, began).await, &inner.other),
            },
        };
        let mut response = answered.unwrap_or_else(|problem| {
            inner.metrics.problem(problem.code());
            problem.answer(path, &trace.id())
        });
        finish(&mut response, &parts, &trace, &tally);
        let (took, status) = (began.elapsed(), response.status());
        meter.ended(took, status);
        tracing::debug!(method = %parts.method, path, status = status.as_u16(), took_us = took.as_micros(), "answered");
        response
    }

    /// The same edge as an axum router, to be nested or merged into another; it sees every peer as the local host.
    pub fn into_axum(self) -> axum::Router {
        axum::Router::new().fallback(move |request: Request<axum::body::Body>| {
            let edge = self.clone();
            async move { edge.answer(IpAddr::from([127, 0, 0, 1]), request).await.map(Body::into_axum) }
        })
    }

    /// The OpenAPI document, as it is served.
    pub fn openapi(&self) -> &[u8] {
        &self.0.openapi
    }
}

impl Inner {
    fn check_head(&self, parts: &Parts) -> Result<(), Problem> {
        let (count, bytes) =
            (parts.headers.len(), parts.headers.iter().map(|(n, v)| n.as_str().len() + v.len()).sum::<usize>());
        if count > self.limits.headers_max || bytes > self.limits.header_bytes_max {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(
                Problem::new(status, "headers_too_large", "the request has too many or too large headers").closing()
            );
        }
        let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if target > self.limits.target_bytes_max {
            return Err(
                Problem::new(StatusCode::URI_TOO_LONG, "target_too_long", "the path and query are too long").closing()
            );
        }
        Ok(())
    }

    /// Health, documents, pages, and the program's own routes.
    async fn elsewhere<B>(
        &self,
        parts: &Parts,
        body: B,
        peer: IpAddr,
        began: Instant,
    ) -> Result<Response<Body>, Problem>
    where
        B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
    {
        let reads = matches!(parts.method, Method::GET | Method::HEAD);
        let path = parts.uri.path();
        match path {
            "/livez" if reads => return Ok(health::live()),
            "/up" if reads => return Ok(health::ready(&self.host, &self.stop, health::Told::Nothing, None)),
            "/readyz" if reads => {
                return Ok(health::ready(
                    &self.host,
                    &self.stop,
                    health::told(parts.uri.query(), health::Told::States),
                    None,
                ));
            }
            "/openapi.json" if reads => return Ok(typed(headers::JSON, self.openapi.clone())),
            "/livez" | "/up" | "/readyz" | "/openapi.json" => return Err(only_get()),
            _ => {}
        }
        if let Some(page) = self.pages.iter().find(|page| page.path == path) {
            if !reads {
                return Err(only_get());
            }
            let mut response = typed(http::HeaderValue::from_static(page.content_type), Bytes::from_static(page.body));
            if !page.policy.is_empty() {
                response.headers_mut().insert(CONTENT_SECURITY_POLICY, http::HeaderValue::from_static(page.policy));
            }
            return Ok(response);
        }
        self.own_routes(parts, body, peer, began).await
    }

    async fn own_routes<B>(
        &self,
        parts: &Parts,
        body: B,
        peer: IpAddr,
        began: Instant,
    ) -> Result<Response<Body>, Problem>
    where
        B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
    {
        let mut router = self.extra.clone();
        let mut request = Request::from_parts(parts.clone(), axum::body::Body::new(body));
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
        let until = began + self.limits.request_time;
        let answered = contained(until, async { tower::Service::call(&mut router, request).await }).await;
        let response = match answered.map_err(|why| unfinished(why, WorkKind::Flow))? {
            Ok(response) => response,
            Err(never) => match never {},
        };
        // What axum answers by itself has no body; a problem says more.
        if response.body().size_hint().exact() == Some(0) {
            match response.status() {
                StatusCode::NOT_FOUND => {
                    return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path"));
                }
                StatusCode::METHOD_NOT_ALLOWED => {
                    return Err(method_not_allowed(response.headers().get(ALLOW).cloned()));
                }
                _ => {}
            }
        }
        Ok(response.map(Body::boxed))
    }
}

/// What every answer says.
fn finish(response: &mut Response<Body>, parts: &Parts, trace: &Trace, tally: &Tally) {
    let to = response.headers_mut();
    let timing = match (tally.statements(), tally.db()) {
        (0, Duration::ZERO) => headers::NO_STATEMENTS,
        (statements, db) => timing::server_timing(db, statements),
    };
    to.insert(SERVER_TIMING, timing);
    to.insert(X_CONTENT_TYPE_OPTIONS, headers::NOSNIFF);
    if let Some(id) = parts.headers.get(X_REQUEST_ID).filter(|id| trace::is_request_id(id)) {
        to.insert(X_REQUEST_ID, id.clone());
    }
    if trace.is_given {
        to.insert(TRACEPARENT, trace.parent());
    }
}

fn typed(kind: http::HeaderValue, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn only_get() -> Problem {
    method_not_allowed(Some(http::HeaderValue::from_static("GET, HEAD")))
}

struct InFlight<'m>(&'m Metrics);

impl<'m> InFlight<'m> {
    fn of(metrics: &'m Metrics) -> Self {
        metrics.0.in_flight.raise();
        InFlight(metrics)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.0.in_flight.subtract(1);
    }
}
