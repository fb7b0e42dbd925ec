//! A host of the toy service behind a real socket, and a client that reads answers by hand.

use crate::{films, notes};
use monolite_http::*;
use monolite_runtime::{Assembly, Host};
use monolite_service::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

pub struct World {
    pub at: SocketAddr,
    pub admin: SocketAddr,
    pub host: Host,
    pub edge: Edge,
    _stop: Stop,
    _folder: tempfile::TempDir,
    pub runtime: tokio::runtime::Runtime,
}

/// Tokens are names; `root` is an admin, `broken` breaks the authenticator, and anything else is nobody.
struct Names;

impl Authenticator for Names {
    fn authenticate<'a>(&'a self, _: &'a Flow, credentials: &'a Credentials) -> BoxFuture<'a, Result<Caller, Error>> {
        let known = match credentials.bearer.as_deref() {
            Some("ann") => Ok(Caller::signed_in(UserId(Uuid::from_u128(1)))),
            Some("root") => Ok(Caller::signed_in(UserId(Uuid::from_u128(2))).with_roles(["admin"])),
            Some("broken") => Err(Failure::internal("a secret of the authenticator").into()),
            Some("panic") => panic!("a secret of the authenticator"),
            _ => Err(Refused::unauthenticated().into()),
        };
        Box::pin(std::future::ready(known))
    }
}

pub fn world() -> World {
    world_with(HttpConfig::default())
}

pub fn world_with(config: HttpConfig) -> World {
    let folder = tempfile::tempdir().unwrap();
    let metrics = Metrics::new();
    let observed = metrics.clone();
    let host = Assembly::new(folder.path())
        .service(notes::service())
        .service(films::service())
        .authenticate(Arc::new(Names))
        .observe(move |service| observed.observer(service))
        .open()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let stop = Stop::new();
    let own = axum::Router::new()
        .route("/own", axum::routing::get(async || "mine"))
        .route(
            "/own/peer",
            axum::routing::get(async |peer: axum::extract::ConnectInfo<std::net::IpAddr>| peer.0.to_string()),
        )
        .route("/own/panic", axum::routing::get(async || -> &'static str { panic!("a secret of the program") }));
    let edge = router(&host, &config, &metrics, &stop, own).unwrap();
    let admin = admin_router(&host, &metrics, &stop, Arc::new(Vec::new));
    let (at, admin) = runtime.block_on(async {
        let listen = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (public, private) = (listen().await, listen().await);
        let at = (public.local_addr().unwrap(), private.local_addr().unwrap());
        tokio::spawn(serve(public, edge.clone(), config.limits.clone(), stop.clone()));
        tokio::spawn(serve(private, admin, config.limits, stop.clone()));
        at
    });
    World { at, admin, host, edge, _stop: stop, _folder: folder, runtime }
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).filter_map(|line| line.split_once(": ")).find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.head, self.body))
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The pointer and code of the first wrong field.
    pub fn field(&self) -> String {
        let first = &self.json()["errors"][0];
        format!("{} {}", first["pointer"].as_str().unwrap_or_default(), first["code"].as_str().unwrap_or_default())
    }
}

impl World {
    /// Sends one request with these header lines; the length is added unless a header says how long it is.
    pub fn send(&self, line: &str, headers: &[&str], body: &[u8]) -> Answer {
        raw(self.at, &request(line, headers, body))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &["authorization: Bearer ann"], b"")
    }

    pub fn post(&self, path: &str, json: &str) -> Answer {
        self.json("POST", path, json)
    }

    pub fn json(&self, method: &str, path: &str, json: &str) -> Answer {
        let headers = ["authorization: Bearer ann", "content-type: application/json"];
        self.send(&format!("{method} {path}"), &headers, json.as_bytes())
    }
}

pub fn request(line: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    let is_sized = headers.iter().any(|h| h.starts_with("content-length") || h.starts_with("transfer-encoding"));
    if !body.is_empty() && !is_sized {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

pub fn raw(at: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let all = String::from_utf8_lossy(&all).into_owned();
    let (head, body) = all.split_once("\r\n\r\n").unwrap_or((&all, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
