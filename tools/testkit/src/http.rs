//! The app over HTTP: real requests to the real edge, without a socket between.

use crate::app::App;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use monolite_http::{HttpConfig, Metrics, Stop, router};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::{IpAddr, Ipv4Addr};

/// A client of the app under test. Paths are below `/api/v1`.
#[derive(Clone)]
pub struct Http {
    app: App,
    headers: Vec<(String, String)>,
    below: &'static str,
}

impl Http {
    pub(crate) fn new(app: &App, bearer: Option<String>) -> Self {
        let http = Http { app: app.clone(), headers: Vec::new(), below: "/api/v1" };
        match bearer {
            Some(bearer) => http.bearer(&bearer),
            None => http,
        }
    }

    /// With another bearer token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With a header on each request, in place of one of the same name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With paths from the root: `/openapi.json`.
    pub fn at_root(self) -> Self {
        Http { below: "", ..self }
    }

    /// `GET`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, None, Bytes::new())
    }

    /// `POST` with JSON.
    #[track_caller]
    pub fn post(&self, path: &str, body: &impl Serialize) -> Response {
        self.send(Method::POST, path, Some(JSON), json(body))
    }

    /// `PUT` with JSON.
    #[track_caller]
    pub fn put(&self, path: &str, body: &impl Serialize) -> Response {
        self.send(Method::PUT, path, Some(JSON), json(body))
    }

    /// `PATCH` with JSON.
    #[track_caller]
    pub fn patch(&self, path: &str, body: &impl Serialize) -> Response {
        self.send(Method::PATCH, path, Some(JSON), json(body))
    }

    /// `DELETE`.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Response {
        self.send(Method::DELETE, path, None, Bytes::new())
    }

    /// Any method with any body.
    #[track_caller]
    pub fn send(&self, method: Method, path: &str, content_type: Option<&str>, body: impl Into<Bytes>) -> Response {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.below));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Full::new(body.into())).expect("the path and the headers are such");
        let (config, metrics) = (HttpConfig::default(), Metrics::default());
        let edge = router(&self.app.host(), &config, &metrics, &Stop::new(), axum::Router::new())
            .expect("the routes fit beside each other");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(async {
            let (parts, body) = edge.answer(IpAddr::V4(Ipv4Addr::LOCALHOST), request).await.into_parts();
            let body = body.into_axum().collect().await.expect("the body comes whole").to_bytes();
            Response { status: parts.status.as_u16(), headers: parts.headers, body }
        })
    }
}

const JSON: &str = "application/json";

fn json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("the body is JSON").into()
}

/// An answer over HTTP.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as a text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or("(not UTF-8)")
    }

    /// The body's JSON.
    ///
    /// # Panics
    /// When it does not fit; the message has the whole answer.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(e) => panic!("the answer does not fit ({e}): {} {}", self.status, self.text()),
        }
    }
}
