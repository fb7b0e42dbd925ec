//! The creates of the kill rig: connections that write until the server is gone.

use super::ledger::Ledger;
use crate::http::client::{Client, request};
use crate::http::document;
use anyhow::{Context, bail};
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Connections that create at the same time.
const CONNECTIONS: usize = 16;

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

/// Creates until the connection breaks. An answer that is not a success is an error: nothing here is overloaded.
async fn create(address: SocketAddr, token: Arc<str>, ledger: Arc<Ledger>, connection: usize) -> anyhow::Result<()> {
    let Ok(mut client) = Client::connect(address).await else { return Ok(()) };
    loop {
        let n = ledger.send(connection);
        let path = format!("/api/v1/documents?key={}&title=Number%20{n}", key(n));
        let Ok(answer) = client.ask(&request(&path, Some(&token), Some(document::json(n).as_bytes()))).await else {
            return Ok(());
        };
        if answer.status != 201 {
            bail!("create {n} answered {}: {}", answer.status, String::from_utf8_lossy(answer.body));
        }
        let created: Created = serde_json::from_slice(answer.body).context("the answer to a create")?;
        ledger.acknowledge(n, created.id);
    }
}
