//! One side of the HTTP comparison: a running server, how its paths look, somebody who is signed in, what is there.

use crate::drive::{Drive, Driven, LIST_PAGE, Mix, Shape, item};
use crate::http::client::{Client, request, request_of};
use crate::items;
use crate::place::Place;
use crate::random::Random;
use crate::server::{self, Server, cpu_time};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

/// Connections that fill.
const FILLERS: u64 = 16;
const EMAIL: &str = "bench@example.org";
const PASSWORD: &str = "correct horse battery staple";

/// A side.
pub(crate) struct Target {
    /// What it is, with its version.
    pub(crate) name: String,
    pub(crate) server: Server,
    pub(crate) shape: Shape,
    pub(crate) bearer: String,
    /// The ids of the records that are read and changed.
    pub(crate) ids: Vec<String>,
}

/// Starts ours: the bench service behind the ordinary edge, with the standard services that sign people in.
pub(super) async fn ours(place: &Place) -> anyhow::Result<Target> {
    let (address, admin) = (server::free_address()?, server::free_address()?);
    let mut command = Command::new(std::env::current_exe()?);
    command.env(items::SERVER, "1").arg("serve").arg("--data").arg(place.join("items"));
    command.args(["--listen", &address.to_string(), "--admin", &admin.to_string()]);
    command.stderr(std::fs::File::create(place.join("items.log"))?);
    let server = server::start(command, address, "/livez").await.context("our server")?;
    let mut client = Client::connect(address).await?;
    let who = json!({ "email": EMAIL, "password": PASSWORD }).to_string();
    let made = client.ask(&request("/api/v1/users", None, Some(who.as_bytes()))).await?;
    ensure!(made.status == 201, "making a user answered {}: {}", made.status, String::from_utf8_lossy(made.body));
    let signed_in = client.ask(&request("/api/v1/sessions", None, Some(who.as_bytes()))).await?;
    let signed_in: Value = serde_json::from_slice(signed_in.body)?;
    let bearer = signed_in["token"].as_str().context("signing in answers a token")?.to_owned();
    let sqlite = monolite_store::rusqlite::version();
    let name = format!("Monolite {} (SQLite {sqlite})", env!("CARGO_PKG_VERSION"));
    let shape = Shape { collection: "/api/v1/items".into(), list_query: format!("?limit={LIST_PAGE}") };
    Ok(Target { name, server, shape, bearer, ids: Vec::new() })
}

impl Target {
    /// Creates so many records over HTTP and remembers their ids.
    pub(super) async fn fill(&mut self, rows: u64) -> anyhow::Result<()> {
        let mut tasks = tokio::task::JoinSet::new();
        for filler in 0..FILLERS {
            let count = rows / FILLERS + u64::from(filler < rows % FILLERS);
            tasks.spawn(fill(self.server.address, self.shape.collection.clone(), self.bearer.clone(), filler, count));
        }
        let mut made = BTreeMap::new();
        while let Some(done) = tasks.join_next().await {
            let (filler, ids) = done??;
            made.insert(filler, ids);
        }
        self.ids = made.into_values().flatten().collect();
        Ok(())
    }

    /// Whether it does what is compared: refuses who is not signed in, answers what was written, changes what it is told.
    pub(super) async fn check(&self) -> anyhow::Result<()> {
        let mut client = Client::connect(self.server.address).await?;
        let one = format!("{}/{}", self.shape.collection, self.ids.first().context("it is filled")?);
        let refused = client.ask(&request(&one, None, None)).await?.status;
        ensure!(matches!(refused, 401 | 403 | 404), "a read without a token answered {refused}");
        let sent: Value = serde_json::from_str(&item(Random::new(0).next()))?;
        let read = self.ask(&mut client, "GET", &one, None).await?;
        for field in ["title", "amount", "content"] {
            ensure!(read[field] == sent[field], "{field} is {} and was {}", read[field], sent[field]);
        }
        let changed = self.ask(&mut client, "PATCH", &one, Some(r#"{"amount":77}"#)).await?;
        let again = self.ask(&mut client, "GET", &one, None).await?;
        ensure!(changed == again && again["amount"] == 77, "a change to 77 answered {changed}, then {again}");
        let list =
            self.ask(&mut client, "GET", &format!("{}{}", self.shape.collection, self.shape.list_query), None).await?;
        let items = list["items"].as_array().map_or(0, Vec::len);
        ensure!(items == LIST_PAGE as usize, "a page has {items} items");
        Ok(())
    }

    async fn ask(&self, client: &mut Client, method: &str, path: &str, body: Option<&str>) -> anyhow::Result<Value> {
        let answer = client.ask(&request_of(method, path, Some(&self.bearer), body.map(str::as_bytes))).await?;
        let said = String::from_utf8_lossy(answer.body);
        ensure!(answer.status == 200, "{method} {path} answered {}: {said}", answer.status);
        Ok(serde_json::from_slice(answer.body)?)
    }

    /// Loads it, and says what that cost it in CPU time.
    pub(super) async fn drive(
        &self,
        mix: Mix,
        connections: usize,
        time: Duration,
        rate: Option<f64>,
        seed: u64,
    ) -> anyhow::Result<(Driven, Duration)> {
        let drive = Drive {
            address: self.server.address,
            shape: self.shape.clone(),
            bearer: self.bearer.clone(),
            ids: self.ids.clone(),
            mix,
            connections,
            time_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            rate,
            seed,
        };
        let before = cpu_time(self.server.pid())?;
        let driven = drive.spawn().await?;
        Ok((driven, cpu_time(self.server.pid())?.saturating_sub(before)))
    }
}

/// Creates so many records over one connection: their ids. The first of the first filler is known to [`Target::check`].
async fn fill(
    address: std::net::SocketAddr,
    collection: String,
    bearer: String,
    filler: u64,
    count: u64,
) -> anyhow::Result<(u64, Vec<String>)> {
    let (mut client, mut random, mut ids) = (Client::connect(address).await?, Random::new(filler), Vec::new());
    for _ in 0..count {
        let body = item(random.next());
        let answer = client.ask(&request(&collection, Some(&bearer), Some(body.as_bytes()))).await?;
        let said = String::from_utf8_lossy(answer.body);
        ensure!(matches!(answer.status, 200 | 201), "filling was answered {}: {said}", answer.status);
        let created: Value = serde_json::from_slice(answer.body)?;
        ids.push(created["id"].as_str().context("a create answers an id")?.to_owned());
    }
    Ok((filler, ids))
}
