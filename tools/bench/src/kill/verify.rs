//! What the rig asks the server after a restart: documents by id, the whole list, the search index.

use super::ledger::{Known, Ledger};
use super::load::key;
use crate::http::client::{Client, request};
use crate::http::document;
use crate::server::Server;
use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Items of one page of the list.
const PAGE: u32 = 100;
/// One document in so many is searched for by its own word.
const SEARCHED_ONE_IN: u64 = 16;

#[derive(Deserialize)]
struct Listed {
    items: Vec<Item>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    key: Option<String>,
}

/// Looks at the documents that were sent since the last look: each that was acknowledged is there under its id, whole.
pub(crate) async fn latest(server: &Server, token: &str, ledger: &Ledger) -> anyhow::Result<()> {
    let mut client = Client::connect(server.address).await?;
    for n in ledger.latest() {
        if let Known::Acknowledged(id) = ledger.of(n) {
            whole(&mut client, token, n, &id).await.with_context(|| format!("acknowledged document {n}"))?;
            if n % SEARCHED_ONE_IN == 0 {
                searched(&mut client, token, n, &id).await.with_context(|| format!("acknowledged document {n}"))?;
            }
        }
    }
    Ok(())
}

/// Looks at everything: the list holds each acknowledged document once and nothing that was not sent, and what it holds
/// is whole and searchable. Answers how many unanswered documents are there.
pub(crate) async fn all(server: &Server, token: &str, ledger: &Ledger) -> anyhow::Result<u64> {
    let mut client = Client::connect(server.address).await?;
    let (listed, mut acknowledged, mut unanswered) = (list(&mut client, token).await?, 0, 0);
    for (n, id) in &listed {
        match ledger.of(*n) {
            Known::Acknowledged(answered) => {
                ensure!(answered == *id, "document {n} was acknowledged as {answered} and is there as {id}");
                acknowledged += 1;
            }
            Known::Unanswered => unanswered += 1,
            Known::TurnedAway => bail!("document {n} is there and was turned away"),
            Known::Unknown => bail!("document {n} is there and was never sent"),
        }
        whole(&mut client, token, *n, id).await.with_context(|| format!("document {n}"))?;
        searched(&mut client, token, *n, id).await.with_context(|| format!("document {n}"))?;
    }
    let lost = ledger.acknowledged() - acknowledged;
    ensure!(lost == 0, "{lost} acknowledged documents are not in the list");
    Ok(unanswered)
}

/// All documents by number. A number twice is an error.
async fn list(client: &mut Client, token: &str) -> anyhow::Result<BTreeMap<u64, String>> {
    let (mut listed, mut path) = (BTreeMap::new(), format!("/api/v1/documents?limit={PAGE}"));
    loop {
        let page: Listed = ask(client, token, &path).await.context("the list")?;
        for item in page.items {
            let key = item.key.context("every document has a key")?;
            let n: u64 = key.strip_prefix('n').and_then(|n| n.parse().ok()).context("every key is a number")?;
            if let Some(other) = listed.insert(n, item.id.clone()) {
                bail!("document {n} is there twice: {other} and {}", item.id);
            }
        }
        match page.next {
            Some(next) => path = format!("/api/v1/documents?limit={PAGE}&cursor={next}"),
            None => return Ok(listed),
        }
    }
}

async fn whole(client: &mut Client, token: &str, n: u64, id: &str) -> anyhow::Result<()> {
    let found: Value = ask(client, token, &format!("/api/v1/documents/{id}")).await?;
    let sent: Value = serde_json::from_str(&document::json(n))?;
    ensure!(found["key"] == key(n).as_str(), "it has another key: {}", found["key"]);
    ensure!(found["title"] == format!("Number {n}").as_str(), "it has another title: {}", found["title"]);
    ensure!(found["body"] == sent, "it is not what was sent: {}", found["body"]);
    ensure!(found["version"] == 1, "it was written again: it is of version {}", found["version"]);
    Ok(())
}

async fn searched(client: &mut Client, token: &str, n: u64, id: &str) -> anyhow::Result<()> {
    let found: Value = ask(client, token, &format!("/api/v1/documents/search?q=w{n}x")).await?;
    let items = found["items"].as_array().context("a search answers items")?;
    ensure!(items.len() == 1 && items[0]["id"] == id, "its own word finds {found}");
    Ok(())
}

async fn ask<T: for<'a> Deserialize<'a>>(client: &mut Client, token: &str, path: &str) -> anyhow::Result<T> {
    let answer = client.ask(&request(path, Some(token), None)).await?;
    ensure!(answer.status == 200, "{path} answered {}: {}", answer.status, String::from_utf8_lossy(answer.body));
    Ok(serde_json::from_slice(answer.body)?)
}
