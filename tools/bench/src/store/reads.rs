//! Point reads: against a bare statement, spawn_blocking, an actor thread, PostgreSQL; one thread against two.

use super::{Suite, done, on_sessions};
use crate::arguments::Measured;
use crate::measure::{Callers, Run, in_turns};
use crate::peers::actor::Actor;
use crate::peers::sqlite::{self, Pool};
use crate::report::{Row, Unit};
use crate::table;
use std::time::{Duration, Instant};

/// The rows of this file.
pub(crate) const NAMES: &[&str] = &[BARE, BLOCKING, ACTOR, POSTGRES, EIGHT, THREADS];
const BARE: &str = "point_read_vs_bare_statement";
const BLOCKING: &str = "point_read_vs_spawn_blocking";
const ACTOR: &str = "point_read_vs_actor_thread";
const POSTGRES: &str = "point_read_vs_postgres";
const EIGHT: &str = "reads_8_vs_postgres";
const THREADS: &str = "read_two_threads_vs_one";

/// Runs the rows that are asked for.
pub(crate) async fn run(suite: &mut Suite, measured: &Measured) -> anyhow::Result<()> {
    if measured.wants(&[BARE]) {
        bare(suite).await?;
    }
    if measured.wants(&[BLOCKING]) {
        spawn_blocking(suite).await?;
    }
    if measured.wants(&[ACTOR]) {
        actor(suite).await?;
    }
    if measured.wants(&[POSTGRES]) {
        postgres(suite, POSTGRES, 1, Unit::Microseconds).await?;
    }
    if measured.wants(&[EIGHT]) {
        postgres(suite, EIGHT, 8, Unit::PerSecond).await?;
    }
    if measured.wants(&[THREADS]) {
        two_threads(suite).await?;
    }
    Ok(())
}

async fn bare(suite: &mut Suite) -> anyhow::Result<()> {
    let (rows, plan) = (suite.sqlite.rows(), suite.plan);
    let sqlite = &suite.sqlite;
    let peer = async |time| {
        let connection = sqlite.warm()?;
        connection.execute_batch("BEGIN; SELECT 1 FROM reading LIMIT 1")?;
        let mut connection = Some(connection);
        let each = |_| {
            let connection = connection.take().expect("there is one caller");
            move |random| {
                let value = sqlite::read(&connection, table::key(random, rows));
                std::future::ready(std::hint::black_box(value).map(drop).map_err(anyhow::Error::from))
            }
        };
        Callers::sampled(1).run(time, each).await
    };
    let pair = in_turns(&plan, async |time| suite.read_ours(1, time).await, peer).await?;
    let against = "a cached rusqlite statement on a connection of its own in an open transaction";
    suite.report.add(Row::compare(BARE, &pair, Unit::Microseconds, against));
    Ok(())
}

async fn spawn_blocking(suite: &mut Suite) -> anyhow::Result<()> {
    let (rows, plan) = (suite.sqlite.rows(), suite.plan);
    let pool = Pool::new(&suite.sqlite, 2)?;
    let peer = async |time| {
        let each = |_| {
            let pool = pool.clone();
            move |random| {
                let read = pool.clone().read(table::key(random, rows));
                async move { read.await.map(drop) }
            }
        };
        Callers::timed(1).run(time, each).await
    };
    let pair = in_turns(&plan, async |time| suite.read_ours(1, time).await, peer).await?;
    let against = "tokio's spawn_blocking over a pool of rusqlite connections";
    suite.report.add(Row::compare(BLOCKING, &pair, Unit::Microseconds, against));
    Ok(())
}

async fn actor(suite: &mut Suite) -> anyhow::Result<()> {
    let (rows, plan) = (suite.sqlite.rows(), suite.plan);
    let actor = Actor::new(suite.sqlite.warm()?)?;
    let peer = async |time| {
        let each = |_| {
            let actor = actor.clone();
            move |random| {
                let key = table::key(random, rows);
                let read = actor.clone().call(move |connection| sqlite::read(connection, key));
                async move { read.await.map(drop) }
            }
        };
        Callers::timed(1).run(time, each).await
    };
    let pair = in_turns(&plan, async |time| suite.read_ours(1, time).await, peer).await?;
    let against = "a thread that owns a rusqlite connection, asked through a channel";
    suite.report.add(Row::compare(ACTOR, &pair, Unit::Microseconds, against));
    Ok(())
}

async fn postgres(suite: &mut Suite, name: &'static str, callers: usize, unit: Unit) -> anyhow::Result<()> {
    let plan = suite.plan;
    let postgres = match &suite.postgres {
        Ok(postgres) => postgres,
        Err(why) => {
            let why = why.clone();
            let ours = crate::measure::alone(&plan, async |time| suite.read_ours(callers, time).await).await?;
            suite.missing(Row::of(name, &ours, unit), &why);
            return Ok(());
        }
    };
    let (sessions, rows) = (postgres.sessions(callers).await?, plan.rows);
    let peer = async |time| {
        on_sessions(&sessions, Callers::timed(callers), time, move |session, random| async move {
            session.read(table::key(random, rows)).await.map(drop)
        })
        .await
    };
    let pair = in_turns(&plan, async |time| suite.read_ours(callers, time).await, peer).await?;
    let against = format!("{}, {} connections", postgres.name(), sessions.len());
    suite.report.add(Row::compare(name, &pair, unit, against));
    Ok(())
}

/// One thread against two, each with a slot of its own. The threads are the operating system's, not tasks: two
/// tasks that never wait may well share a worker.
async fn two_threads(suite: &mut Suite) -> anyhow::Result<()> {
    let plan = suite.plan;
    let turn = |threads: usize, time: Duration| {
        let (store, rows) = (suite.store.clone(), plan.rows);
        tokio::task::spawn_blocking(move || on_threads(&store, rows, threads, time))
    };
    let pair = in_turns(&plan, async |time| turn(2, time).await?, async |time| turn(1, time).await?).await?;
    let spin = |threads: usize| tokio::task::spawn_blocking(move || spin(threads, plan.round));
    let cores = spin(2).await? as f64 / spin(1).await?.max(1) as f64;
    let row = Row::compare(THREADS, &pair, Unit::PerSecond, "one thread of ours");
    let note = format!(
        "the peer is ours on one thread; two threads that only count reached {cores:.2} times one at that moment"
    );
    suite.report.add(row.note(note));
    Ok(())
}

/// What the machine has to give just now: how far so many threads count that share nothing.
fn spin(threads: usize, time: Duration) -> u64 {
    let end = Instant::now() + time;
    let count = || {
        let mut random = crate::random::Random::new(1);
        let mut turns = 0;
        while Instant::now() < end {
            (0..1000).for_each(|_| {
                std::hint::black_box(random.next());
            });
            turns += 1;
        }
        turns
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(count)).collect();
        running.into_iter().map(|t| t.join().expect("counting does not panic")).sum()
    })
}

fn on_threads(store: &monolite_store::Store, rows: u64, threads: usize, time: Duration) -> anyhow::Result<Run> {
    let begin = Instant::now();
    let runs: Vec<anyhow::Result<Run>> = std::thread::scope(|scope| {
        let thread = || -> anyhow::Result<Run> {
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            let each = |_| {
                let store = store.clone();
                move |random| {
                    let key = table::key(random, rows);
                    let read = store.read(move |s| s.query_row(table::READ, [key], table::take));
                    async move { done(std::hint::black_box(read.await)) }
                }
            };
            runtime.block_on(Callers::sampled(1).run(time, each))
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
        running.into_iter().map(|t| t.join().expect("a reading thread panicked")).collect()
    });
    let mut all = Run { operations: 0, elapsed: begin.elapsed(), latency: Default::default() };
    for run in runs {
        let run = run?;
        all.operations += run.operations;
        all.latency.add(&run.latency);
    }
    Ok(all)
}
