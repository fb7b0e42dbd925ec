//! Noise in the store: rows of the quiet tenants; of the noisy one rows, giants in pieces, and scans.

use super::{NOISE, NOISES, Noise, QUIET, QUIET_RATE, compare, row};
use crate::arguments::Measured;
use crate::measure::Latency;
use crate::report::Report;
use anyhow::Context;
use monolite_store::{Config, Error, Kind, Migration, Migrations, Store, Tenant, Ticket};
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
/// Scans at once.
const SCANS: usize = 8;
/// Rows to scan.
const ROWS: i64 = 200_000;
/// The noisy one's callers without a pace: a hundred for each caller of a quiet tenant.
const CALLERS: usize = NOISE as usize;

pub(super) async fn run(measured: &Measured, report: &mut Report) -> anyhow::Result<()> {
    let place = measured.place()?;
    let path = place.join("noisy.db");
    let store = Store::open(&path, Config { name: "noisy".into(), ..Config::default() }, Migrations::new([SCHEMA]))?;
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                INSERT INTO rows(tenant, body) SELECT i % 50, randomblob(100) FROM n";
    store.write(move |tx| tx.execute(fill, [ROWS])).await.context("filling")?;
    let time = Duration::from_millis(if measured.is_short() { 3_000 } else { 15_000 });
    quiet(&store, time / 4).await?;
    let (alone, _) = quiet(&store, time).await?;
    for noise in NOISES.into_iter().filter(|noise| measured.wants(&[&row("store", noise.name)])) {
        let counts = Arc::new([const { AtomicU64::new(0) }; 4]);
        let mut noisy = JoinSet::new();
        make(&mut noisy, &store, noise, Instant::now() + time + Duration::from_millis(200), &counts);
        tokio::time::sleep_until((Instant::now() + Duration::from_millis(200)).into()).await;
        let (beside, refused) = quiet(&store, time).await?;
        while let Some(done) = noisy.join_next().await {
            done??;
        }
        let [tiny, pieces, scans, own] = std::array::from_fn(|n| counts[n].load(Relaxed));
        let note = format!(
            "of the quiet ones {refused} were refused; the noisy one did {tiny} tiny writes, {pieces} pieces of 64 KiB, {scans} scans, and was refused {own} times"
        );
        compare(report, "store", noise, &alone, &beside, note);
    }
    store.close()?;
    Ok(())
}

/// The quiet tenants for a time, each at its pace; their times from when writes were due, and how many were refused.
async fn quiet(store: &Store, time: Duration) -> anyhow::Result<(Latency, u64)> {
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for tenant in 0..QUIET {
        let store = store.clone();
        tasks.spawn(async move {
            let each = Duration::from_secs_f64(1.0 / QUIET_RATE);
            let mut due = begin + each.mul_f64(tenant as f64 / QUIET as f64);
            let (mut latency, mut refused) = (Latency::default(), 0);
            while due < begin + time {
                tokio::time::sleep_until(due.into()).await;
                // The clock of tokio ticks in milliseconds; what is timed begins when the write is called.
                let called = Instant::now();
                match insert(&store, Tenant(tenant as u64 + 1)).await {
                    Ok(()) => latency.record(called.elapsed()),
                    Err(e) if e.kind() == Kind::Overloaded => refused += 1,
                    Err(e) => return Err(e),
                }
                due += each;
            }
            Ok((latency, refused))
        });
    }
    let (mut all, mut refused) = (Latency::default(), 0);
    while let Some(done) = tasks.join_next().await {
        let (latency, no): (Latency, u64) = done??;
        all.add(&latency);
        refused += no;
    }
    Ok((all, refused))
}

async fn insert(store: &Store, tenant: Tenant) -> Result<(), Error> {
    let written = store.write_with(Ticket::label("tiny").tenant(tenant), move |tx| -> Result<(), Error> {
        tx.execute("INSERT INTO rows(tenant, body) VALUES (?1, randomblob(100))", [tenant.0 as i64])?;
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

async fn scan(store: &Store) -> Result<(), Error> {
    let ticket = Ticket::label("scan").tenant(NOISY).slow();
    let read = store.read_with(ticket, |s| -> Result<i64, Error> {
        s.query_row("SELECT sum(length(hex(body))) FROM rows WHERE tenant > 10", [], |row| row.get(0))
    });
    read.await.map(drop)
}

/// Starts the noisy one's callers.
fn make(
    to: &mut JoinSet<anyhow::Result<()>>,
    store: &Store,
    noise: Noise,
    until: Instant,
    counts: &Arc<[AtomicU64; 4]>,
) {
    let mut callers = |n: usize, count: usize| {
        for _ in 0..n {
            let (store, counts) = (store.clone(), counts.clone());
            to.spawn(async move {
                while Instant::now() < until {
                    let done = match count {
                        0 => insert(&store, NOISY).await,
                        1 => piece(&store).await,
                        _ => scan(&store).await,
                    };
                    match done {
                        Ok(()) => drop(counts[count].fetch_add(1, Relaxed)),
                        Err(e) if e.kind() == Kind::Overloaded => {
                            counts[3].fetch_add(1, Relaxed);
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
    if noise.slow {
        callers(SCANS, 2);
    }
}
