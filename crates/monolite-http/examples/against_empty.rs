//! An authenticated read of one small record beside an empty axum handler, both behind the same accept loop.
//!
//! `cargo run --release -p monolite-http --example against_empty`, then run the `wrk` commands it prints.

#![allow(missing_docs, clippy::unwrap_used)] // a measuring aid

use monolite_http::{HttpConfig, Metrics, Stop, router, serve};
use monolite_runtime::Assembly;
use monolite_service::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct NoteById {
    id: Uuid,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Session {
    token: String,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Account {
    id: i64,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Fill {
    id: Uuid,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Note {
    id: Uuid,
    title: String,
    text: String,
    version: u64,
}
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Number {
    n: i64,
}
message!(NoteById => Note, version |n| n.version);
message!(Session => Number);
message!(Account => Number);
message!(Fill => ());

fn service() -> Service {
    Service::new("Notes", migrations![quick "against_empty.sql"])
        .read(|s: &Snapshot<'_>, m: &NoteById| -> Outcome<NoteById> {
            Ok(s.one("SELECT id, title, text, version FROM notes WHERE id = ?", params![m.id])?
                .ok_or(Refused::not_found("note"))?)
        })
        .at(GET, "/notes/{id}", SignedIn)
        .read(|s: &Snapshot<'_>, m: &Session| -> Outcome<Session> {
            Ok(s.one("SELECT user AS n FROM sessions WHERE token = ?", params![m.token])?
                .ok_or(Refused::unauthenticated())?)
        })
        .read(|s: &Snapshot<'_>, m: &Account| -> Outcome<Account> {
            Ok(s.one("SELECT version AS n FROM users WHERE id = ?", params![m.id])?.ok_or(Refused::unauthenticated())?)
        })
        .write(|tx: &Tx<'_>, m: Fill| -> Outcome<Fill> {
            tx.run("INSERT INTO sessions VALUES ('token', 1)", params![])?;
            tx.run("INSERT INTO users VALUES (1, 1)", params![])?;
            tx.run("INSERT INTO notes VALUES (?, 'Apple pie', 'Six apples, flour, butter, sugar.', 1)", params![m.id])?;
            Ok(())
        })
}

struct Tokens;

impl Authenticator for Tokens {
    fn authenticate<'a>(
        &'a self,
        flow: &'a Flow,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Caller, Error>> {
        Box::pin(async move {
            let token = credentials.bearer.clone().ok_or(Refused::unauthenticated())?;
            let user = flow.call(Session { token }).await?;
            flow.call(Account { id: user.n }).await?;
            Ok(Caller::signed_in(UserId(Uuid::from_u128(1))))
        })
    }
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = Metrics::new();
    let observed = metrics.clone();
    let host = Assembly::new(folder.path())
        .service(service())
        .authenticate(Arc::new(Tokens))
        .observe(move |service| observed.observer(service))
        .open()
        .unwrap();
    let id = Uuid::from_u128(7);
    host.call_blocking(&host.system(), Fill { id }).unwrap();
    let workers = std::env::args().nth(1).map_or(2, |n| n.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
    runtime.block_on(async {
        let config = HttpConfig::default();
        let stop = Stop::on_signals().unwrap();
        let edge = router(&host, &config, &metrics, &stop, axum::Router::new()).unwrap();
        let empty = axum::Router::new().route("/empty", axum::routing::get(async || ""));
        let listen = async |at: &str| tokio::net::TcpListener::bind(at).await.unwrap();
        let (ours, theirs, plain) =
            (listen("127.0.0.1:8090").await, listen("127.0.0.1:8091").await, listen("127.0.0.1:8092").await);
        println!("wrk -t1 -c64 -d5 -H 'authorization: Bearer token' http://127.0.0.1:8090/api/v1/notes/{id}");
        println!("wrk -t1 -c64 -d5 http://127.0.0.1:8091/empty   # an empty axum handler, our accept loop");
        println!("wrk -t1 -c64 -d5 http://127.0.0.1:8092/empty   # the same under axum::serve");
        println!("wrk -t1 -c64 -d5 http://127.0.0.1:8090/livez   # our edge without a host's route");
        let peer = tokio::spawn(serve(theirs, empty.clone(), config.limits.clone(), stop.clone()));
        tokio::spawn(async move { axum::serve(plain, empty).await });
        serve(ours, edge, config.limits, stop).await;
        let _ = peer.await;
    });
}
