//! Slow reads beside quick ones: on each async worker at once a slow read, again and again, and what other requests notice.
//!
//! The other requests are point reads that a thread outside of the runtime hands in at a fixed pace; what is timed is from
//! the moment they are due to their answer, so that a blocked worker shows.

use super::Suite;
use crate::measure::Latency;
use crate::random::Random;
use crate::report::Row;
use crate::table;
use anyhow::Context;
use monolite_store::{Error, Snapshot, Store, Ticket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

/// What the rows' names begin with.
pub(crate) const NAMES: &[&str] = &["slow_full_scan", "slow_count", "slow_document", "slow_json_path", "slow_search"];

/// Pause between two quick requests.
const PACE: Duration = Duration::from_micros(500);
/// Quick requests under way at most; one more is not handed in but counted as late as the time it would have waited.
const UNDER_WAY_MAX: usize = 4096;
/// Documents in the search index.
const TEXTS: i64 = 200_000;
/// Texts written at once.
const BATCH: i64 = 10_000;

type Slow = fn(&Snapshot<'_>) -> Result<i64, Error>;

/// Each kind of slow read is a function of its own, as a service's handlers are.
const KINDS: [(&str, Slow); 5] = [
    (NAMES[0], |s| {
        s.query_row("SELECT sum(a.k * b.id) FROM reading a, (SELECT id FROM reading LIMIT 20) b", [], |r| r.get(0))
    }),
    (NAMES[1], |s| s.query_row("SELECT count(*) FROM reading", [], |r| r.get(0))),
    (NAMES[2], |s| {
        s.gate(s.query_row("SELECT octet_length(body) FROM large WHERE id = 1", [], |r| r.get(0))?)?;
        s.query_row("SELECT body FROM large WHERE id = 1", [], |r| Ok(r.get::<_, String>(0)?.len() as i64))
    }),
    (NAMES[3], |s| {
        s.gate(s.query_row("SELECT octet_length(body) FROM large WHERE id = 1", [], |r| r.get(0))?)?;
        s.query_row("SELECT json_extract(body, '$.a.b') FROM large WHERE id = 1", [], |r| r.get(0))
    }),
    (NAMES[4], |s| {
        s.query_row("SELECT rowid FROM words WHERE words MATCH 'common' ORDER BY rank LIMIT 1", [], |r| r.get(0))
    }),
];

/// Measures each kind.
pub(crate) async fn run(suite: &mut Suite) -> anyhow::Result<()> {
    prepare(suite).await?;
    for (name, slow) in KINDS {
        let quiet = measure(suite, None, suite.plan.round).await?;
        let seen = measure(suite, Some((name, slow)), suite.plan.round * 2).await?;
        let note = format!(
            "p50 {:.0} us, p99.9 {:.0}, max {:.0}; without slow reads p99 {:.0}, max {:.0}; {} slow reads of {:.0} ms at the median; while the first two ran: quick max {:.0} us",
            seen.after.us(50.0),
            seen.after.us(99.9),
            seen.after.us_max(),
            quiet.after.us(99.0),
            quiet.after.us_max(),
            seen.slow.count(),
            seen.slow.us(50.0) / 1e3,
            seen.first.us_max(),
        );
        suite.report.add(Row::alone(format!("{name}_others_p99"), seen.after.us(99.0), "us").note(note));
        suite.report.add(Row::alone(format!("{name}_first_others_max"), seen.first.us_max(), "us"));
    }
    Ok(())
}

/// The large document and the search index.
async fn prepare(suite: &Suite) -> anyhow::Result<()> {
    let bytes = suite.plan.document;
    let mut body = String::with_capacity(bytes + 64);
    body.push_str("{\"pad\":[0");
    let mut i = 0;
    while body.len() < bytes - 32 {
        i += 1;
        body.push_str(&format!(",{{\"k{}\":{i}}}", i % 1000));
    }
    body.push_str("],\"a\":{\"b\":7}}");
    let body = Arc::new(body);
    suite
        .store
        .write(move |tx| tx.execute("INSERT INTO large VALUES(1, ?1)", [body.as_str()]))
        .await
        .context("the large document")?;
    const TEXT: &str = "WITH RECURSIVE s(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM s WHERE i < ?2)
        INSERT INTO words(text) SELECT 'the common word w' || (i % 5000) || ' and other text the common' FROM s";
    for from in (1..=TEXTS).step_by(BATCH as usize) {
        suite.store.write(move |tx| tx.execute(TEXT, [from, from + BATCH - 1])).await.context("the search index")?;
    }
    Ok(())
}

/// What the quick requests saw while the first slow reads ran and after, and how long the slow ones took.
#[derive(Default)]
struct Seen {
    first: Latency,
    after: Latency,
    slow: Latency,
}

async fn measure(suite: &Suite, kind: Option<(&'static str, Slow)>, time: Duration) -> anyhow::Result<Seen> {
    let (stop, first_done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(kind.is_none())));
    let seen = Arc::new(Mutex::new(Seen::default()));
    let quick = {
        let (store, rows, handle) = (suite.store.clone(), suite.plan.rows, tokio::runtime::Handle::current());
        let (stop, first_done, seen) = (stop.clone(), first_done.clone(), seen.clone());
        std::thread::spawn(move || hand_in(&store, rows, &handle, &stop, &first_done, &seen))
    };
    let mut slow = tokio::task::JoinSet::new();
    if let Some((label, read)) = kind {
        let together = Arc::new(Barrier::new(super::WORKERS));
        let end = Instant::now() + time;
        for _ in 0..super::WORKERS {
            slow.spawn(run_slow(
                suite.store.clone(),
                label,
                read,
                together.clone(),
                end,
                first_done.clone(),
                seen.clone(),
            ));
        }
        while let Some(done) = slow.join_next().await {
            done??;
        }
    } else {
        tokio::time::timeout(time, std::future::pending::<()>()).await.err();
    }
    stop.store(true, Ordering::Relaxed);
    tokio::task::spawn_blocking(move || quick.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the quick requests panicked"))?;
    let mut seen = seen.lock().expect("no holder panics");
    Ok(std::mem::take(&mut *seen))
}

async fn run_slow(
    store: Store,
    label: &'static str,
    read: Slow,
    together: Arc<Barrier>,
    end: Instant,
    first_done: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
) -> anyhow::Result<()> {
    // Blocks this worker on purpose: when it lets go, every worker holds one of these tasks.
    together.wait();
    while Instant::now() < end {
        let begin = Instant::now();
        let value = store.read_with(Ticket::label(label), read).await?;
        std::hint::black_box(value);
        first_done.store(true, Ordering::Relaxed);
        seen.lock().expect("no holder panics").slow.record(begin.elapsed());
        // A read that turns out to be quick is answered at once: let others have the worker in between.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Hands in quick requests at a fixed pace until told to stop.
fn hand_in(
    store: &Store,
    rows: u64,
    handle: &tokio::runtime::Handle,
    stop: &AtomicBool,
    first_done: &Arc<AtomicBool>,
    seen: &Arc<Mutex<Seen>>,
) {
    let (mut random, mut due) = (Random::new(11), Instant::now());
    let under_way = Arc::new(tokio::sync::Semaphore::new(UNDER_WAY_MAX));
    while !stop.load(Ordering::Relaxed) {
        due += PACE;
        while let Some(wait) = due.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(wait);
        }
        let Ok(permit) = under_way.clone().try_acquire_owned() else { continue };
        let (store, key, seen) = (store.clone(), table::key(random.next(), rows), seen.clone());
        let (due, after) = (due, first_done.load(Ordering::Relaxed));
        handle.spawn(async move {
            let answer: Result<i64, Error> = store.read(move |s| s.query_row(table::READ, [key], table::take)).await;
            let took = due.elapsed();
            answer.expect("a point read works");
            let mut seen = seen.lock().expect("no holder panics");
            if after {
                seen.after.record(took)
            } else {
                seen.first.record(took)
            }
            drop(permit);
        });
    }
}
