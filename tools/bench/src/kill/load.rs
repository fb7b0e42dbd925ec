//! The writes of the kill rig: connections that create until the server is gone, and now and then ask for what must be refused.

use super::ledger::Ledger;
use crate::http::client::{Client, request, request_of};
use crate::http::document;
use anyhow::{Context, bail};
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Connections that create at the same time.
const CONNECTIONS: usize = 16;

/// One created document in so many is then replaced under a version that it does not have, which must be refused.
const REFUSED_ONE_IN: u64 = 8;

/// The codes of a server that has too much to do.
const TURNED_AWAY: [&str; 3] = ["too_many_requests", "overloaded", "late"];

/// What an answer that is no success says it is.
#[derive(Deserialize)]
struct Refused {
    code: String,
}

/// The running load.
pub(crate) type Load = JoinSet<anyhow::Result<()>>;

#[derive(Deserialize)]
struct Created {
    id: String,
}

/// Starts it.
pub(crate) fn start(address: SocketAddr, token: &Arc<str>, ledger: &Arc<Ledger>) -> Load {
    let mut load = JoinSet::new();
    for connection in 0..CONNECTIONS {
        load.spawn(create(address, token.clone(), ledger.clone(), connection));
    }
    load
}

/// Waits for its end, after the server's.
pub(crate) async fn finish(mut load: Load) -> anyhow::Result<()> {
    while let Some(done) = load.join_next().await {
        done??;
    }
    Ok(())
}

/// The key of document `n`.
pub(crate) fn key(n: u64) -> String {
    format!("n{n}")
}

/// Creates until the connection breaks. A machine that stands still for a moment makes the server turn some away, which must
/// not be there then; any other answer but a success is an error: a server that stopped writing is no busy one.
async fn create(address: SocketAddr, token: Arc<str>, ledger: Arc<Ledger>, connection: usize) -> anyhow::Result<()> {
    let Ok(mut client) = Client::connect(address).await else { return Ok(()) };
    loop {
        let n = ledger.send(connection);
        let path = format!("/api/v1/documents?key={}&title=Number%20{n}", key(n));
        let Ok(answer) = client.ask(&request(&path, Some(&token), Some(document::json(n).as_bytes()))).await else {
            return Ok(());
        };
        if answer.status != 201 {
            if !is_turned_away(answer.status, answer.body) {
                bail!("create {n} answered {}: {}", answer.status, String::from_utf8_lossy(answer.body));
            }
            ledger.turn_away(n);
            tokio::task::yield_now().await;
            continue;
        }
        let Created { id } = serde_json::from_slice(answer.body).context("the answer to a create")?;
        let commit = client.header("monolite-commit: Documents=").and_then(|n| n.parse().ok());
        ledger.acknowledge(n, id.clone(), commit.with_context(|| format!("the answer to create {n} names no commit"))?);
        if n.is_multiple_of(REFUSED_ONE_IN) {
            let Ok(answer) = client.ask(&stale(&id, &token)).await else { return Ok(()) };
            if answer.status != 412 && !is_turned_away(answer.status, answer.body) {
                bail!("a stale replacement of {n} answered {}", answer.status);
            }
            ledger.refuse();
        }
    }
}

fn is_turned_away(status: u16, body: &[u8]) -> bool {
    let code = || serde_json::from_slice(body).map(|Refused { code }| code);
    matches!(status, 429 | 503) && code().is_ok_and(|code| TURNED_AWAY.contains(&&*code))
}

/// A replacement of a version that never was.
fn stale(id: &str, token: &str) -> Vec<u8> {
    let body = br#"{"refused":true}"#;
    let path = format!("/api/v1/documents/{id}?title=Refused");
    let mut request = request_of("PUT", &path, Some(token), Some(body));
    let at = request.windows(2).position(|w| w == b"\r\n").map_or(0, |line| line + 2);
    request.splice(at..at, *b"if-match: \"77\"\r\n");
    request
}
