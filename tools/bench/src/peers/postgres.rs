//! PostgreSQL in a temporary folder, over its Unix socket.
//!
//! It gets what it would get from somebody who wants it to win: 1 GB of shared buffers, a WAL that need not be
//! checkpointed in the middle of a turn (`max_wal_size`), `full_page_writes` paid for before the turns by the warm-up,
//! statements prepared once per connection, one connection per caller up to [`CONNECTIONS`]. Beyond that callers share
//! a connection and pipeline: they need not wait for each other's answers before they send. On two cores that gave more
//! than a pool with exclusive checkout (512 callers, 64 connections: 26,000 updates a second against 22,000; a
//! connection for each of 512: 12,000). Rows named `.._shared_postgres` share [`SHARED`] connections already at 64
//! callers: the most we could get out of it (27,000 to 29,000; one connection for each of 64: 15,000 to 19,000).
//! All that concerns durability stays at its default: `fsync=on`, `synchronous_commit=on`, `full_page_writes=on`.
//!
//! **Invariants**
//! - The server ends with this value, and its folder is removed with the [`Place`].

use crate::place::Place;
use crate::table;
use anyhow::{Context, bail};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls, Statement};

/// Most connections, also for 512 callers. A process each: on two cores more of them only cost switches.
pub(crate) const CONNECTIONS: usize = 64;
/// Connections of the rows that show the most we could get out of it.
pub(crate) const SHARED: usize = 32;

/// Longest wait for the server's first answer.
const START_MAX: Duration = Duration::from_secs(30);

const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "shared_buffers=1GB",
    "max_connections=600",
    "max_wal_size=8GB",
    "min_wal_size=2GB",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
];

/// A running PostgreSQL.
pub(crate) struct Postgres {
    server: Child,
    socket: PathBuf,
    version: String,
}

/// A connection with the suite's statements prepared.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) read: Statement,
    pub(crate) update: Statement,
    pub(crate) list: Statement,
}

impl Postgres {
    /// Makes a cluster, starts it, fills the table. An error says what is missing.
    pub(crate) async fn start(place: &Place, rows: u64) -> anyhow::Result<Postgres> {
        let programs = programs()?;
        let folder = place.join("postgres");
        std::fs::create_dir(&folder)?;
        let user = other_user()?;
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid))?;
        }
        let cluster = folder.join("data");
        let made = as_user(user, &programs.join("initdb"), &folder)
            .args(["--auth=trust", "--username=bench", "--encoding=UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(&cluster)
            .output()?;
        if !made.status.success() {
            bail!("initdb: {}", String::from_utf8_lossy(&made.stderr));
        }
        let log = std::fs::File::create(folder.join("log"))?;
        let mut command = as_user(user, &programs.join("postgres"), &folder);
        command.arg("-D").arg(&cluster).arg("-k").arg(&folder);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let server = command.stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut postgres = Postgres { server, socket: folder, version: String::new() };
        postgres.fill(rows).await?;
        Ok(postgres)
    }

    /// What it is, for the report.
    pub(crate) fn name(&self) -> String {
        format!("PostgreSQL {} over its Unix socket, tokio-postgres, prepared", self.version)
    }

    /// So many sessions, at most [`CONNECTIONS`]; callers beyond share them.
    pub(crate) async fn sessions(&self, count: usize) -> anyhow::Result<Vec<Arc<Session>>> {
        let mut sessions = Vec::new();
        for _ in 0..count.min(CONNECTIONS) {
            let client = connect(&self.socket).await?;
            let read = client.prepare(table::READ_POSTGRES).await?;
            let update = client.prepare(table::UPDATE_POSTGRES).await?;
            let list = client.prepare(table::LIST_POSTGRES).await?;
            sessions.push(Arc::new(Session { client, read, update, list }));
        }
        Ok(sessions)
    }

    async fn fill(&mut self, rows: u64) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        let client = loop {
            match connect(&self.socket).await {
                Ok(client) => break client,
                Err(e) if begin.elapsed() > START_MAX => return Err(e.context("PostgreSQL does not answer")),
                Err(_) => {}
            }
            if let Some(status) = self.server.try_wait()? {
                let log = std::fs::read_to_string(self.socket.join("log")).unwrap_or_default();
                bail!("postgres ended with {status}: {log}");
            }
            pause.tick().await;
        };
        let version: String = client.query_one("SHOW server_version", &[]).await?.get(0);
        self.version = version.split(' ').next().unwrap_or_default().to_string();
        client.batch_execute(table::CREATE_POSTGRES).await?;
        client.execute(table::FILL_POSTGRES, &[&(rows as i64)]).await?;
        client.batch_execute("VACUUM ANALYZE reading").await?;
        client.batch_execute("CHECKPOINT").await?;
        client.query_one("SELECT sum(length(v)) FROM reading", &[]).await?;
        Ok(())
    }
}

impl Session {
    /// The point read.
    pub(crate) async fn read(self: Arc<Self>, key: i64) -> anyhow::Result<i64> {
        let row = self.client.query_one(&self.read, &[&key]).await?;
        let text: String = row.get(2);
        Ok(row.get::<_, i64>(0) + row.get::<_, i64>(1) + text.len() as i64)
    }

    /// The durable one-row update.
    pub(crate) async fn update(self: Arc<Self>, key: i64) -> anyhow::Result<()> {
        let changed = self.client.execute(&self.update, &[&key]).await?;
        if changed == 1 { Ok(()) } else { bail!("{changed} rows changed") }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its folder is removed next: nothing in it is worth a clean end.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.server),
            rustix::process::Signal::QUIT,
        );
        let _ = self.server.wait();
    }
}

async fn connect(socket: &Path) -> anyhow::Result<Client> {
    let mut config = tokio_postgres::Config::new();
    config.host_path(socket).user("bench").dbname("postgres");
    let (client, connection) = config.connect(NoTls).await?;
    // It ends with its client.
    tokio::spawn(connection);
    Ok(client)
}

/// Debian's folder of PostgreSQL's programs, the newest but first 15; or what `MONOLITE_BENCH_POSTGRES` says.
fn programs() -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("MONOLITE_BENCH_POSTGRES") {
        return Ok(folder.into());
    }
    let known = [15, 18, 17, 16, 14].map(|v| PathBuf::from(format!("/usr/lib/postgresql/{v}/bin")));
    known.into_iter().find(|p| p.join("initdb").exists()).context(
        "no PostgreSQL here; install it (Debian: apt install postgresql) or set MONOLITE_BENCH_POSTGRES to the folder of initdb",
    )
}

/// PostgreSQL refuses to run as root: then it runs as `postgres`, else `nobody`.
fn other_user() -> anyhow::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let ids = |name: &str| {
        let mut fields = users.lines().map(|l| l.split(':')).find(|l| l.clone().next() == Some(name))?.skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Ok(Some(ids("postgres").or_else(|| ids("nobody")).context("neither user postgres nor nobody exists")?))
}

fn as_user(user: Option<(u32, u32)>, program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null()).env_remove("PGDATA");
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}
