//! A call to a service against a read of its store: what the engine adds (lookup, caller, deadline, statistics, rows by serde).

use super::Suite;
use crate::measure::{Callers, in_turns};
use crate::report::{Row, Unit};
use crate::table;
use anyhow::Context;
use monolite_runtime::{Assembly, Host};
use monolite_service::{Outcome, Refused, Service, Snapshot, Tx, message};
use monolite_store::{Error, Migration, Migrations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// The row of this file.
pub(crate) const NAME: &str = "call_vs_store";

const SERVICE: &str = "Readings";
/// Rows written at once.
const BATCH: u64 = 10_000;

/// One reading.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct ReadingById {
    id: i64,
}

/// Raises the number of one reading.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct RaiseReading {
    id: i64,
}

/// What is known of it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Reading {
    id: i64,
    k: i64,
    v: String,
}

message!(ReadingById => Option<Reading>);
message!(RaiseReading => ());

fn service() -> Service {
    let steps = vec![Migration::Quick { name: "reading", sql: table::CREATE }];
    Service::new(SERVICE, Migrations::new(steps)).read(reading_by_id).write(raise_reading)
}

fn reading_by_id(s: &Snapshot<'_>, m: &ReadingById) -> Outcome<ReadingById> {
    Ok(s.one(table::READ, [m.id])?)
}

fn raise_reading(tx: &Tx<'_>, m: RaiseReading) -> Outcome<RaiseReading> {
    match tx.run(table::UPDATE, [m.id])? {
        1 => Ok(()),
        _ => Err(Refused::not_found("reading").into()),
    }
}

/// A host of the service with the table filled.
pub(crate) async fn open(folder: PathBuf, rows: u64) -> anyhow::Result<Host> {
    let host = Assembly::new(folder).service(service()).open().context("opening the host")?;
    let store = host.store(SERVICE).context("the service is registered")?.clone();
    for from in (1..=rows).step_by(BATCH as usize) {
        let to = (from + BATCH - 1).min(rows);
        store.write::<_, Error, _>(move |tx| tx.execute(table::FILL, [from, to])).await?;
    }
    Ok(host)
}

/// Measures the call, in turns with the store's own read of the same rows.
pub(crate) async fn run(suite: &mut Suite) -> anyhow::Result<()> {
    let (plan, rows) = (suite.plan, suite.plan.rows);
    let host = open(suite.place.join("services"), rows).await?;
    let store = host.store(SERVICE).context("the service is registered")?.clone();
    let peer = async |time: Duration| {
        let each = |_| {
            let store = store.clone();
            move |random| {
                let key = table::key(random, rows);
                let read = store.read(move |s| {
                    s.query_row(table::READ, [key], |r| Ok(Reading { id: r.get(0)?, k: r.get(1)?, v: r.get(2)? }))
                });
                async move { super::done(std::hint::black_box(read.await)) }
            }
        };
        Callers::sampled(1).run(time, each).await
    };
    let pair = in_turns(&plan, async |time| calls(&host, rows, time).await, peer).await?;
    suite.report.add(Row::compare(NAME, &pair, Unit::Microseconds, "store.read of the same rows, mapped by hand"));
    host.shutdown()?;
    Ok(())
}

/// Reads by one caller.
pub(crate) async fn calls(host: &Host, rows: u64, time: Duration) -> anyhow::Result<crate::measure::Run> {
    let each = |_| {
        let (host, caller) = (host.clone(), host.system());
        move |random| {
            let (host, caller, id) = (host.clone(), caller.clone(), table::key(random, rows));
            async move {
                let reading = host.call(&caller, ReadingById { id }).await;
                match std::hint::black_box(reading) {
                    Ok(Some(_)) => Ok(()),
                    other => anyhow::bail!("reading {id}: {other:?}"),
                }
            }
        }
    };
    Callers::sampled(1).run(time, each).await
}

/// Durable updates by so many callers.
pub(crate) async fn updates(
    host: &Host,
    rows: u64,
    callers: usize,
    time: Duration,
) -> anyhow::Result<crate::measure::Run> {
    let each = |_| {
        let (host, caller) = (host.clone(), host.system());
        move |random| {
            let (host, caller, id) = (host.clone(), caller.clone(), table::key(random, rows));
            async move { host.call(&caller, RaiseReading { id }).await.map_err(|e| anyhow::anyhow!("reading {id}: {e:?}")) }
        }
    };
    Callers::timed(callers).run(time, each).await
}
