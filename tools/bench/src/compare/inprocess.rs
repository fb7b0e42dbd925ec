//! A message to a service in the same process, against a statement sent to PostgreSQL: what one has instead of the other.
//!
//! Ours is all of a call (lookup, caller, deadline, statistics, rows by serde), the peer's is the driver's prepared statement.

use super::Suite;
use crate::measure::{Callers, Pair, Run, alone, in_turns};
use crate::peers::postgres::{Postgres, SHARED};
use crate::report::{Row, Unit};
use crate::store::{call, on_sessions};
use crate::table;
use anyhow::Context;
use monolite_runtime::Host;
use std::time::Duration;

/// The rows of this file, each also as `.._p99`.
pub(super) const NAMES: [&str; 3] = [
    "inprocess_read_vs_postgres",
    "inprocess_durable_update_64_vs_postgres",
    "inprocess_durable_update_64_vs_shared_postgres",
];
/// Callers that update, and the peer's connections for them.
const CALLERS: usize = 64;
const CONNECTIONS: [usize; 2] = [CALLERS, SHARED];
const FSYNC: &str = "both: fsync before each reply (synchronous=FULL; synchronous_commit=on)";

/// Runs the rows that are asked for.
pub(super) async fn run(suite: &mut Suite<'_>) -> anyhow::Result<()> {
    let rows = suite.plan.rows;
    eprintln!("filling {rows} rows on each side");
    let host = call::open(suite.place.join("services"), rows).await?;
    let postgres = Postgres::start(suite.place, rows).await.map_err(|e| format!("{e:#}"));
    match &postgres {
        Ok(postgres) => suite.peers.push(postgres.name()),
        Err(why) => eprintln!("PEER MISSING: {why}"),
    }
    if suite.wants(NAMES[0]) {
        read(suite, &host, &postgres).await.context(NAMES[0])?;
    }
    for (name, connections) in NAMES[1..].iter().zip(CONNECTIONS) {
        if suite.wants(name) {
            update(suite, &host, &postgres, name, connections).await.context(*name)?;
        }
    }
    host.shutdown()?;
    Ok(())
}

type Peer = Result<Postgres, String>;

async fn read(suite: &mut Suite<'_>, host: &Host, postgres: &Peer) -> anyhow::Result<()> {
    let (plan, rows, name) = (suite.plan, suite.plan.rows, NAMES[0]);
    let ours = async |time| call::calls(host, rows, time).await;
    let Ok(postgres) = postgres.as_ref().map_err(|why| why.clone()) else {
        let side = alone(&plan, ours).await?;
        suite.missing(Row::of(name, &side, Unit::Microseconds), postgres.as_ref().err());
        return Ok(());
    };
    let sessions = postgres.sessions(1).await?;
    let peer = async |time| {
        on_sessions(&sessions, Callers::timed(1), time, move |session, random| async move {
            session.read(table::key(random, rows)).await.map(drop)
        })
        .await
    };
    let pair = in_turns(&plan, ours, peer).await?;
    add(suite, name, &pair, Unit::Microseconds, postgres.name(), "read");
    Ok(())
}

async fn update(
    suite: &mut Suite<'_>,
    host: &Host,
    postgres: &Peer,
    name: &str,
    connections: usize,
) -> anyhow::Result<()> {
    let (plan, rows, durability) = (suite.plan, suite.plan.rows, suite.place.durability(FSYNC));
    let ours = async |time: Duration| -> anyhow::Result<Run> { call::updates(host, rows, CALLERS, time).await };
    let Ok(postgres) = postgres.as_ref().map_err(|why| why.clone()) else {
        let side = alone(&plan, ours).await?;
        suite.missing(Row::of(name, &side, Unit::PerSecond).durable(durability), postgres.as_ref().err());
        return Ok(());
    };
    let sessions = postgres.sessions(connections).await?;
    let peer = async |time| {
        on_sessions(&sessions, Callers::timed(CALLERS), time, move |session, random| {
            session.update(table::key(random, rows))
        })
        .await
    };
    let pair = in_turns(&plan, ours, peer).await?;
    let against = format!("{}, {connections} connections", postgres.name());
    add(suite, name, &pair, Unit::PerSecond, against, durability);
    Ok(())
}

fn add(suite: &mut Suite<'_>, name: &str, pair: &Pair, unit: Unit, against: String, durability: &'static str) {
    suite.report.add(Row::compare(name, pair, unit, against.clone()).durable(durability));
    let (ours, peer) = (pair.ours.latency.us(99.0), pair.peer.latency.us(99.0));
    let p99 = Row::alone(format!("{name}_p99"), ours, "us").against(peer, Unit::Microseconds, against);
    suite.report.add(p99.durable(durability).note("closed loop"));
}
