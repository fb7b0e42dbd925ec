//! The suite `cut`: what a cut over several files costs while all of them are written at full rate, and what it costs the
//! writers.
//!
//! A thread of its own takes cuts, a thousand a second as a busy program of reports would, reads a row of each file from
//! each, and drops it. What is timed is the taking alone.
//!
//! **Invariants**
//! - The writers beside the cuts and those without them run in turns, on the same files.

use crate::arguments::{Measured, Plan};
use crate::measure::{Latency, Pair, Run, in_turns};
use crate::report::{Report, Row, Unit};
use crate::store::update;
use crate::table;
use anyhow::Context;
use monolite_store::{Cut, Store};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The standard services, and a pair of them.
const FILES: [&str; 6] = ["Users", "UserSessions", "Settings", "Documents", "Files", "Recipes"];
/// Files in a cut, with the row of its own time, and that of the writers beside it.
const SIZES: [(usize, &str, &str); 2] =
    [(2, "cut_of_2_files", "writes_beside_cuts_of_2"), (6, "cut_of_6_files", "writes_beside_cuts_of_6")];
/// Callers that write to all the files together.
const CALLERS: usize = 64;
/// The time between two cuts.
const PERIOD: Duration = Duration::from_millis(1);
const FSYNC: &str = "fsync before each reply (synchronous=FULL)";

/// Runs the suite.
pub(crate) fn run(measured: &Measured) -> anyhow::Result<Report> {
    let (place, plan) = (measured.place()?, measured.plan());
    let plan = Plan { rows: plan.rows / 10, ..plan };
    crate::store::runtime()?.block_on(async {
        let mut stores = Vec::new();
        for name in FILES {
            stores.push(table::store(&place.join(&format!("{name}/{name}.db")), plan.rows).await?);
        }
        let mut report = Report::new("cut");
        for (size, taken, beside) in SIZES {
            if measured.wants(&[taken, beside]) {
                let seen = measure(&stores[..size], plan).await.with_context(|| taken.to_owned())?;
                rows(&mut report, (size, taken, beside), &seen, place.durability(FSYNC));
            }
        }
        Ok(report)
    })
}

/// What the cuts of a measurement came to.
#[derive(Default)]
struct Taken {
    latency: Latency,
    /// The same in time of the thread's processor: without what others ran meanwhile.
    own: Latency,
    retried: u64,
    paused: u64,
}

struct Seen {
    writes: Pair,
    taken: Taken,
    commits: u64,
}

async fn measure(stores: &[Store], plan: Plan) -> anyhow::Result<Seen> {
    let mut taken = Taken::default();
    let commits = |stores: &[Store]| stores.iter().map(Store::sequence).sum::<u64>();
    let mut committed = 0;
    let ours = async |time| {
        let before = commits(stores);
        let (run, these) = beside(stores, plan.rows, time).await?;
        committed += commits(stores) - before;
        taken.latency.add(&these.latency);
        taken.own.add(&these.own);
        taken.retried += these.retried;
        taken.paused += these.paused;
        Ok(run)
    };
    let writes = in_turns(&plan, ours, async |time| writes(stores, plan.rows, time).await).await?;
    Ok(Seen { writes, taken, commits: committed })
}

/// Writes to all files, with cuts beside.
async fn beside(stores: &[Store], rows: u64, time: Duration) -> anyhow::Result<(Run, Taken)> {
    let (ended, of) = (std::sync::Arc::new(AtomicBool::new(false)), stores.to_vec());
    let end = ended.clone();
    let cutter = std::thread::spawn(move || cuts(&of, rows, &end));
    let run = writes(stores, rows, time).await;
    ended.store(true, Relaxed);
    let taken = cutter.join().map_err(|_| anyhow::anyhow!("the thread of the cuts panicked"))??;
    Ok((run?, taken))
}

async fn writes(stores: &[Store], rows: u64, time: Duration) -> anyhow::Result<Run> {
    let each = CALLERS / stores.len(); // about as many in all
    let mut all = tokio::task::JoinSet::new();
    for store in stores {
        let store = store.clone();
        all.spawn(async move { update(&store, rows, each, time).await });
    }
    let mut sum = Run { operations: 0, elapsed: time, latency: Latency::default() };
    while let Some(run) = all.join_next().await {
        let run = run.context("a writer panicked")??;
        sum.operations += run.operations;
        sum.elapsed = sum.elapsed.max(run.elapsed);
        sum.latency.add(&run.latency);
    }
    Ok(sum)
}

fn cuts(stores: &[Store], rows: u64, ended: &AtomicBool) -> anyhow::Result<Taken> {
    let (mut taken, mut due, mut key) = (Taken::default(), Instant::now(), 0);
    while !ended.load(Relaxed) {
        due += PERIOD;
        let (began, own) = (Instant::now(), thread_time());
        let cut = Cut::take(stores)?;
        taken.own.record(thread_time() - own);
        taken.latency.record(began.elapsed());
        taken.retried += u64::from(cut.taking().retries > 0);
        taken.paused += u64::from(cut.taking().paused);
        for place in 0..stores.len() {
            key += 1;
            let row = table::key(key, rows);
            let read = cut.read(place, |s| s.query_row(table::READ, [row], table::take));
            std::hint::black_box(read?);
        }
        drop(cut);
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            std::thread::park_timeout(left);
        }
        due = due.max(Instant::now() - PERIOD); // a pause of the machine is not made up for
    }
    Ok(taken)
}

/// The processor time of the calling thread.
fn thread_time() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

fn rows(report: &mut Report, names: (usize, &str, &str), seen: &Seen, durability: &'static str) {
    let ((size, taken, beside), Seen { writes, taken: cuts, commits }) = (names, seen);
    let count = cuts.latency.count();
    let note = format!(
        "{count} cuts beside {commits} commits by {CALLERS} callers; {:.2}% tried again, {} paused the writers; at most {:.0} us; \
         of the thread's own time p50 {:.1}, p99 {:.1} us",
        cuts.retried as f64 * 100.0 / count.max(1) as f64,
        cuts.paused,
        cuts.latency.us_max(),
        cuts.own.us(50.0),
        cuts.own.us(99.0),
    );
    let mut row = Row::alone(taken, cuts.latency.us(50.0), "us").note(note);
    row.ours_p50_us = Some(cuts.latency.us(50.0));
    row.ours_p99_us = Some(cuts.latency.us(99.0));
    report.add(row);
    let row = Row::compare(beside, writes, Unit::PerSecond, format!("the same writes to {size} files without cuts"));
    report.add(row.durable(durability).note(format!("a cut each {PERIOD:?}")));
}
