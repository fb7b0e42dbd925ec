//! The rows of the suite `http`.

use super::client::{Client, request};
use super::document;
use super::load::{Load, Loaded};
use crate::arguments::{Measured, Plan};
use crate::measure::{Run, alone, in_turns};
use crate::place::Place;
use crate::report::{Report, Row, Unit};
use crate::server::{self, Server, cpu_time};
use anyhow::{Context, ensure};
use std::cell::{Cell, RefCell};

use std::process::Command;
use std::time::Duration;

const GET: &str = "http_get_64_vs_empty_handler";
const CREATE: &str = "http_create_64_per_second";

const CONNECTIONS: usize = 64;
const FSYNC: &str = "fsync before each reply (synchronous=FULL), document and search index";
/// Numbers of the documents created by the loads begin here, so that no two turns make the same.
const NUMBERS: u64 = 1_000_000_000;

/// CPU time of the server and of the load generator, and what was served with it.
#[derive(Default)]
struct Cpu {
    server: Duration,
    load: Duration,
    requests: u64,
}

impl Cpu {
    fn note(&self) -> String {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.requests.max(1) as f64;
        format!("CPU a request: server {:.1} us, load generator {:.1} us", each(self.server), each(self.load))
    }
}

/// Runs the suite.
pub(crate) fn run(measured: &Measured) -> anyhow::Result<Report> {
    let (plan, place) = (measured.plan(), measured.place()?);
    let program = server::build()?;
    crate::store::runtime()?.block_on(async {
        let mut report = Report::new("http");
        let data = place.join("data");
        let ours = server::serve(&program, &data, &place.join("server.log")).await?;
        let token = server::sign_in(&program, &data).await?;
        if measured.wants(&[GET]) {
            get(&mut report, &plan, &ours, &token).await.context(GET)?;
        }
        if measured.wants(&[CREATE]) {
            create(&mut report, &plan, &place, &ours, &token).await.context(CREATE)?;
        }
        ours.stop().await?;
        Ok(report)
    })
}

async fn get(report: &mut Report, plan: &Plan, ours: &Server, token: &str) -> anyhow::Result<()> {
    let path = create_one(ours, token).await?;
    let empty = empty_handler().await?;
    let (ours_cpu, empty_cpu) = (RefCell::default(), RefCell::default());
    let turn = async |server: &Server, cpu: &RefCell<Cpu>, bearer, time: Duration| -> anyhow::Result<Run> {
        let load = load(server, &path, None, time);
        Ok(with_cpu(server, cpu, load.spawn(bearer)).await?.run())
    };
    let ours_turn = async |time| turn(ours, &ours_cpu, Some(token), time).await;
    let empty_turn = async |time| turn(&empty, &empty_cpu, None, time).await;
    let pair = in_turns(plan, ours_turn, empty_turn).await?;
    let wrk = wrk(ours, &path, Some(token)).await;
    let wrk_empty = self::wrk(&empty, &path, None).await;
    let note = format!(
        "{}; empty handler: {}. Cross-check with wrk: ours {wrk}, empty {wrk_empty}",
        ours_cpu.borrow().note(),
        empty_cpu.borrow().note()
    );
    let against = "an empty axum handler behind the same accept loop";
    report.add(Row::compare(GET, &pair, Unit::PerSecond, against).note(note));
    Ok(())
}

async fn create(report: &mut Report, plan: &Plan, place: &Place, ours: &Server, token: &str) -> anyhow::Result<()> {
    let (from, cpu) = (Cell::new(NUMBERS), RefCell::default());
    let side = alone(plan, async |time| {
        let load = load(ours, "/api/v1/documents", Some(from.get()), time);
        let run = with_cpu(ours, &cpu, load.spawn(Some(token))).await?.run();
        from.set(from.get() + run.operations + CONNECTIONS as u64);
        Ok(run)
    })
    .await?;
    let documents = from.get() - NUMBERS;
    let note = format!("{}; {documents} documents at the end", cpu.borrow().note());
    report.add(Row::of(CREATE, &side, Unit::PerSecond).durable(place.durability(FSYNC)).note(note));
    Ok(())
}

fn load(server: &Server, path: &str, create_from: Option<u64>, time: Duration) -> Load {
    let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Load { address: server.address, path: path.to_string(), create_from, connections: CONNECTIONS, time_ms }
}

async fn with_cpu(
    server: &Server,
    cpu: &RefCell<Cpu>,
    load: impl Future<Output = anyhow::Result<Loaded>>,
) -> anyhow::Result<Loaded> {
    let before = cpu_time(server.pid())?;
    let loaded = load.await?;
    let mut cpu = cpu.borrow_mut();
    cpu.server += cpu_time(server.pid())?.saturating_sub(before);
    cpu.load += Duration::from_secs_f64(loaded.cpu_seconds);
    cpu.requests += loaded.requests;
    Ok(loaded)
}

/// One document to read: its path.
async fn create_one(server: &Server, token: &str) -> anyhow::Result<String> {
    let mut client = Client::connect(server.address).await?;
    let body = document::json(NUMBERS - 1);
    let answer = client.ask(&request("/api/v1/documents", Some(token), Some(body.as_bytes()))).await?;
    ensure!(answer.status == 201, "a create answered {}: {}", answer.status, String::from_utf8_lossy(answer.body));
    let created: serde_json::Value = serde_json::from_slice(answer.body)?;
    Ok(format!("/api/v1/documents/{}", created["id"].as_str().context("a create answers an id")?))
}

async fn empty_handler() -> anyhow::Result<Server> {
    let address = server::free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["empty", "--listen", &address.to_string()]);
    server::start(command, address, "/").await
}

/// What wrk says, or that it is missing.
async fn wrk(server: &Server, path: &str, bearer: Option<&str>) -> String {
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c64", "-d2s"]).arg(format!("http://{}{path}", server.address));
    if let Some(token) = bearer {
        command.arg("-H").arg(format!("authorization: Bearer {token}"));
    }
    let Ok(done) = tokio::task::spawn_blocking(move || command.output()).await.map_err(std::io::Error::other).flatten()
    else {
        return "wrk is missing".into();
    };
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let rate = text.lines().find_map(|l| l.trim().strip_prefix("Requests/sec:"));
    let failed = if text.contains("Non-2xx") { " with failures" } else { "" };
    rate.map_or("wrk failed".into(), |r| format!("{}/s{failed}", r.trim()))
}
