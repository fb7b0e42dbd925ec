//! Noise in the store: rows and short scans of the quiet tenants; of the noisy one rows, giants in pieces, many rows at once,
//! and long scans.

use super::{AROUND, NOISE, NOISES, Noise, QUIET, QUIET_RATE, Quiet, compare};
use crate::arguments::Measured;
use crate::report::Report;
use anyhow::Context;
use monolite_store::{Config, Error, Hold, Kind, Migration, Migrations, Store, Tenant, Ticket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const SCHEMA: Migration = Migration::Quick {
    name: "noisy",
    sql: "CREATE TABLE rows(id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
          CREATE TABLE pieces(id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT",
};
/// The noisy one.
const NOISY: Tenant = Tenant(999);
/// Bytes of a giant's piece, and giants at once, each with so many pieces under way.
const PIECE: usize = 64 << 10;
const GIANTS: usize = 2;
const PIECES_AT_ONCE: usize = 16;
/// Rows of a large write: some milliseconds, so that it gets a group of its own; and those at once.
const LARGE: i64 = 5_000;
const LARGE_AT_ONCE: usize = 8;
/// Scans at once.
const SCANS: usize = 8;
/// Rows that the noisy one scans, and a quiet one.
const ROWS: i64 = 200_000;
const FEW: i64 = 20;
/// The noisy one's callers without a pace: a hundred for each caller of a quiet tenant.
const CALLERS: usize = NOISE as usize;

/// What the noisy one did, by what it is; the last is what he was refused.
type Counts = [AtomicU64; 5];

pub(super) async fn run(measured: &Measured, report: &mut Report) -> anyhow::Result<()> {
    let place = measured.place()?;
    let path = place.join("noisy.db");
    let store = Store::open(&path, Config { name: "noisy".into(), ..Config::default() }, Migrations::new([SCHEMA]))?;
    insert(&store, Tenant(0), ROWS).await.context("filling")?;
    let time = Duration::from_millis(if measured.is_short() { 3_000 } else { 15_000 });
    quiet_apart(&store, time / 4).await?;
    for noise in NOISES.into_iter().filter(|noise| noise.is_wanted(measured, "store")) {
        let alone = quiet_apart(&store, time).await?;
        let (counts, begun) = (Arc::new(Counts::default()), Instant::now());
        let mut noisy = JoinSet::new();
        make(&mut noisy, &store, noise, Instant::now() + time + 2 * AROUND, &counts);
        tokio::time::sleep_until((Instant::now() + AROUND).into()).await;
        let beside = quiet_apart(&store, time).await?;
        while let Some(done) = noisy.join_next().await {
            done??;
        }
        let [tiny, pieces, large, scans, own] = std::array::from_fn(|n| counts[n].load(Relaxed));
        let holds: Vec<Hold> = store.writer().longest.into_iter().filter(|hold| hold.since >= begun).collect();
        let of = |hold: &Hold| format!("{} {:.0} ms", hold.label, hold.held.as_secs_f64() * 1e3);
        let did = format!(
            "the noisy one did {tiny} tiny writes, {pieces} pieces of 64 KiB, {large} writes of {LARGE} rows, {scans} scans, and was refused or stopped {own} times; the writer's longest holds: {}",
            holds.iter().take(3).map(of).collect::<Vec<_>>().join(", ")
        );
        let longest = holds.first().map_or(Duration::ZERO, |hold| hold.held);
        compare(report, "store", noise, (&alone, &beside), longest, &did);
    }
    store.close()?;
    Ok(())
}

/// The quiet tenants on a thread of their own: where the noisy one's callers take their turns is not what is timed.
async fn quiet_apart(store: &Store, time: Duration) -> anyhow::Result<Quiet> {
    let store = store.clone();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(quiet(&store, time))
    };
    tokio::task::spawn_blocking(run).await?
}

/// The quiet tenants for a time, each at its pace.
async fn quiet(store: &Store, time: Duration) -> anyhow::Result<Quiet> {
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for tenant in 0..QUIET {
        let store = store.clone();
        tasks.spawn(async move {
            let each = Duration::from_secs_f64(1.0 / QUIET_RATE);
            let mut due = begin + each.mul_f64(tenant as f64 / QUIET as f64);
            let (mut quiet, tenant) = (Quiet::default(), Tenant(tenant as u64 + 1));
            while due < begin + time {
                tokio::time::sleep_until(due.into()).await;
                // The clock of tokio ticks in milliseconds; what is timed begins when the call is made.
                let called = Instant::now();
                match scan(&store, tenant, FEW).await {
                    Ok(()) => quiet.reads.record(called.elapsed()),
                    Err(e) if e.kind() == Kind::Overloaded => quiet.refused += 1,
                    Err(e) => return Err(e),
                }
                let called = Instant::now();
                match insert(&store, tenant, 1).await {
                    Ok(()) => quiet.writes.record(called.elapsed()),
                    Err(e) if e.kind() == Kind::Overloaded => quiet.refused += 1,
                    Err(e) => return Err(e),
                }
                due += each;
            }
            Ok(quiet)
        });
    }
    let mut all = Quiet::default();
    while let Some(done) = tasks.join_next().await {
        let quiet: Quiet = done??;
        all.writes.add(&quiet.writes);
        all.reads.add(&quiet.reads);
        all.refused += quiet.refused;
    }
    Ok(all)
}

/// The message by which all write, each as much as he likes.
async fn insert(store: &Store, tenant: Tenant, rows: i64) -> Result<(), Error> {
    let written = store.write_with(Ticket::label("insert").tenant(tenant), move |tx| -> Result<(), Error> {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                   INSERT INTO rows(tenant, body) SELECT ?2, randomblob(100) FROM n";
        tx.execute(sql, [rows, tenant.0 as i64])?;
        Ok(())
    });
    written.await.map(drop)
}

async fn piece(store: &Store) -> Result<(), Error> {
    let written = store.write_with(Ticket::label("piece").tenant(NOISY), |tx| -> Result<(), Error> {
        tx.execute("INSERT OR REPLACE INTO pieces VALUES (abs(random() % 4096), zeroblob(?1))", [PIECE as i64])?;
        Ok(())
    });
    written.await.map(drop)
}

/// The message by which all read, each as much as he likes.
async fn scan(store: &Store, tenant: Tenant, rows: i64) -> Result<(), Error> {
    let read = store.read_with(Ticket::label("scan").tenant(tenant), move |s| -> Result<i64, Error> {
        s.query_row("SELECT sum(length(hex(body))) FROM rows WHERE id <= ?1", [rows], |row| row.get(0))
    });
    read.await.map(drop)
}

/// Starts the noisy one's callers.
fn make(to: &mut JoinSet<anyhow::Result<()>>, store: &Store, noise: Noise, until: Instant, counts: &Arc<Counts>) {
    let mut callers = |n: usize, count: usize| {
        for _ in 0..n {
            let (store, counts) = (store.clone(), counts.clone());
            to.spawn(async move {
                while Instant::now() < until {
                    let done = match count {
                        0 => insert(&store, NOISY, 1).await,
                        1 => piece(&store).await,
                        2 => insert(&store, NOISY, LARGE).await,
                        _ => scan(&store, NOISY, ROWS).await,
                    };
                    match done {
                        Ok(()) => drop(counts[count].fetch_add(1, Relaxed)),
                        // A scan whose snapshot makes the WAL grow is stopped.
                        Err(e) if matches!(e.kind(), Kind::Overloaded | Kind::TooLong) => {
                            counts[4].fetch_add(1, Relaxed);
                            tokio::time::sleep_until((Instant::now() + Duration::from_millis(5)).into()).await;
                        }
                        Err(e) => return Err(e.into()),
                    }
                }
                Ok(())
            });
        }
    };
    if noise.tiny {
        callers(CALLERS, 0);
    }
    if noise.giant {
        callers(GIANTS * PIECES_AT_ONCE, 1);
    }
    if noise.large {
        callers(LARGE_AT_ONCE, 2);
    }
    if noise.slow {
        callers(SCANS, 3);
    }
}
