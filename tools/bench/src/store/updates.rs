//! Durable one-row updates at random keys: against PostgreSQL, one fsync per write, and hand-made transactions.

use super::{Suite, on_sessions};
use crate::arguments::Measured;
use crate::measure::{Callers, Pair, Run, alone, in_turns};
use crate::peers::actor::Actor;
use crate::peers::postgres::{CONNECTIONS, SHARED};
use crate::random::Random;
use crate::report::{Row, Unit};
use crate::table;
use monolite_store::rusqlite::{Connection, Result, TransactionBehavior};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The rows of this file.
pub(crate) const NAMES: &[&str] = &[
    "durable_update_1_vs_postgres",
    "durable_update_16_vs_postgres",
    "durable_update_64_vs_postgres",
    "durable_update_512_vs_postgres",
    "durable_update_64_vs_shared_postgres",
    "durable_update_512_vs_shared_postgres",
    AUTOCOMMIT,
    HANDMADE,
];
/// Name, callers, connections.
const POSTGRES: [(&str, usize, usize); 6] = [
    (NAMES[0], 1, 1),
    (NAMES[1], 16, 16),
    (NAMES[2], 64, 64),
    (NAMES[3], 512, CONNECTIONS),
    (NAMES[4], 64, SHARED),
    (NAMES[5], 512, SHARED),
];
const AUTOCOMMIT: &str = "durable_update_64_vs_autocommit";
const HANDMADE: &str = "durable_update_64_vs_handmade";

const FSYNC: &str = "both: fsync before each reply (synchronous=FULL; synchronous_commit=on)";
const FSYNC_SQLITE: &str = "both: fsync before each reply (synchronous=FULL)";

/// Runs the rows that are asked for.
pub(crate) async fn run(suite: &mut Suite, measured: &Measured) -> anyhow::Result<()> {
    for (name, callers, connections) in POSTGRES {
        if measured.wants(&[name]) {
            postgres(suite, name, callers, connections).await?;
        }
    }
    if measured.wants(&[AUTOCOMMIT]) {
        autocommit(suite).await?;
    }
    if measured.wants(&[HANDMADE]) {
        handmade(suite).await?;
    }
    Ok(())
}

async fn postgres(suite: &mut Suite, name: &'static str, callers: usize, connections: usize) -> anyhow::Result<()> {
    let (plan, durability) = (suite.plan, suite.place.durability(FSYNC));
    let before = suite.store.sequence();
    let postgres = match &suite.postgres {
        Ok(postgres) => postgres,
        Err(why) => {
            let why = why.clone();
            let ours = alone(&plan, async |time| suite.update_ours(callers, time).await).await?;
            suite.missing(Row::of(name, &ours, Unit::PerSecond).durable(durability), &why);
            return Ok(());
        }
    };
    let (sessions, rows) = (postgres.sessions(connections).await?, plan.rows);
    let peer = async |time| {
        on_sessions(&sessions, Callers::timed(callers), time, move |session, random| {
            session.update(table::key(random, rows))
        })
        .await
    };
    let pair = in_turns(&plan, async |time| suite.update_ours(callers, time).await, peer).await?;
    let group = group_size(suite, &pair, before);
    let against = format!("{}, {} connections", postgres.name(), sessions.len());
    let row = Row::compare(name, &pair, Unit::PerSecond, against).durable(durability);
    suite.report.add(row.note(format!("{group:.1} writes a group")));
    Ok(())
}

/// One connection that commits each update by itself, behind a thread: nobody waits on a lock.
async fn autocommit(suite: &mut Suite) -> anyhow::Result<()> {
    let (plan, durability) = (suite.plan, suite.place.durability(FSYNC_SQLITE));
    let (actor, rows) = (Actor::new(suite.sqlite.warm()?)?, plan.rows);
    let peer = async |time| {
        let each = |_| {
            let actor = actor.clone();
            move |random| {
                let key = table::key(random, rows);
                let update = actor.clone().call(move |c| c.prepare_cached(table::UPDATE)?.execute([key]));
                async move { update.await.map(drop) }
            }
        };
        Callers::timed(64).run(time, each).await
    };
    let pair = in_turns(&plan, async |time| suite.update_ours(64, time).await, peer).await?;
    let against = "SQLite, one fsync a write (autocommit), one connection on its own thread";
    suite.report.add(Row::compare(AUTOCOMMIT, &pair, Unit::PerSecond, against).durable(durability));
    Ok(())
}

/// The best that a program can do which has all the rows in its hands: transactions of the size of our groups in a
/// loop on a thread of its own, nobody to answer in between.
async fn handmade(suite: &mut Suite) -> anyhow::Result<()> {
    let (plan, durability) = (suite.plan, suite.place.durability(FSYNC_SQLITE));
    let before = suite.store.sequence();
    let first = suite.update_ours(64, plan.warm).await?;
    let size = (first.operations as f64 / (suite.store.sequence() - before).max(1) as f64).round() as u64;
    let (actor, rows, seed) = (Actor::new(suite.sqlite.warm()?)?, plan.rows, AtomicU64::new(1));
    let peer = async |time: Duration| {
        let seed = seed.fetch_add(1, Ordering::Relaxed);
        actor.clone().call(move |connection| transactions(connection, size, rows, seed, time)).await
    };
    let pair = in_turns(&plan, async |time| suite.update_ours(64, time).await, peer).await?;
    let against = format!("SQLite, a loop of transactions of {size} updates on one thread, nobody to answer");
    let row = Row::compare(HANDMADE, &pair, Unit::PerSecond, against).durable(durability);
    suite.report.add(row.note("the peer's p50 and p99 are those of a whole transaction"));
    Ok(())
}

fn transactions(connection: &mut Connection, size: u64, rows: u64, seed: u64, time: Duration) -> Result<Run> {
    let mut random = Random::new(seed);
    let begin = std::time::Instant::now();
    let mut run = Run { operations: 0, elapsed: time, latency: Default::default() };
    while begin.elapsed() < time {
        let began = std::time::Instant::now();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut update = transaction.prepare_cached(table::UPDATE)?;
            for _ in 0..size {
                update.execute([table::key(random.next(), rows)])?;
            }
        }
        transaction.commit()?;
        run.latency.record(began.elapsed());
        run.operations += size;
    }
    run.elapsed = begin.elapsed();
    Ok(run)
}

/// Our writes a commit, over the whole of a measurement; the warm-up's few do not matter.
fn group_size(suite: &Suite, pair: &Pair, before: u64) -> f64 {
    let commits = suite.store.sequence() - before;
    let (plan, rate) = (&suite.plan, pair.ours.rate());
    let time = plan.round.as_secs_f64() * plan.rounds as f64 + plan.warm.as_secs_f64();
    rate * time / commits.max(1) as f64
}
