//! The history of many threads, judged in one pass: is it strictly serializable?
//!
//! Replies carry their commit and place, reads the commit of their snapshot. So the order that the store claims is known, and
//! three things decide: a model that replays the writes in that order answers what the store answered; what ended before
//! something else began comes before it; and a read is the model's state after its commit. Values are links of a chain of
//! hashes, so a store that invents an order cannot make it fit.
//!
//! **Invariants**
//! - Linear in the length of the history (commits are dense, so they are an index).

use crate::disk::{Disk, Fault, FileKind, Method, Plan};
use crate::random::Random;
use crate::vfs;
use crate::work::{End, add, chained, config, migrations, within};
use anyhow::{Result, anyhow, bail, ensure};
use monolite_store::{Error, Store, Tenant, Ticket};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(25);
/// Writes beside readers that look in now and then.
const WRITES_BESIDE: u64 = 300;
/// How often they do.
const LOOKS_IN_EACH: Duration = Duration::from_millis(20);

/// Something that a thread did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It began a call with this number.
    Began(u64),
    /// The write with this number ended well.
    Wrote {
        /// The call.
        call: u64,
        /// Which write.
        op: u64,
        /// Its commit.
        sequence: u64,
        /// Its place there.
        place: u32,
        /// What it answered.
        value: (i64, i64),
    },
    /// The read with this number ended well.
    Saw {
        /// The call.
        call: u64,
        /// Its snapshot's commit.
        sequence: u64,
        /// What it saw.
        value: (i64, i64),
    },
}

/// What was judged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Judged {
    /// Writes of the history.
    pub writes: u64,
    /// Reads of the history.
    pub reads: u64,
    /// How long the threads ran.
    pub took: Duration,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} writes and {} reads in {:.1} s are strictly serializable",
            self.writes,
            self.reads,
            self.took.as_secs_f64()
        )
    }
}

/// Judges a history in which every write that is in the file ended well.
///
/// # Errors
/// The first thing that no serial order explains.
pub fn judge(events: &[Event]) -> Result<Judged> {
    let (mut writes, last) = (Vec::new(), events.iter().map(Event::sequence).max().unwrap_or(0));
    for event in events {
        if let Event::Wrote { op, sequence, place, value, .. } = event {
            writes.push((*sequence, *place, *op, *value));
        }
    }
    let states = replay(&mut writes, last)?;
    let mut floors = std::collections::HashMap::new();
    let (mut written, mut seen) = ((0, 0), 0);
    let mut judged = Judged::default();
    for event in events {
        match *event {
            Event::Began(call) => drop(floors.insert(call, (written, seen))),
            Event::Wrote { call, op, sequence, place, .. } => {
                let (after, saw) = floors.remove(&call).unwrap_or_default();
                let at = (sequence, place);
                ensure!(at > after, "write {op} at {at:?} began after the one at {after:?} had been answered");
                ensure!(sequence > saw, "write {op} of commit {sequence} began after a read had seen {saw}");
                written = written.max(at);
                judged.writes += 1;
            }
            Event::Saw { call, sequence, value } => {
                let (after, saw) = floors.remove(&call).unwrap_or_default();
                let floor = after.0.max(saw);
                ensure!(sequence >= floor, "a read of commit {sequence} began after {floor} was answered or seen");
                let state = states[sequence as usize];
                ensure!(value == state, "a read of commit {sequence} saw {value:?}; the state is {state:?}");
                seen = seen.max(sequence);
                judged.reads += 1;
            }
        }
    }
    Ok(judged)
}

/// The state after each commit, by a model that does the writes in their order.
fn replay(writes: &mut [(u64, u32, u64, (i64, i64))], last: u64) -> Result<Vec<(i64, i64)>> {
    writes.sort_unstable_by_key(|w| (w.0, w.1)); // nearly sorted already, as they come from the history
    let mut states = vec![(0, 0); last as usize + 1];
    let (mut state, mut at) = ((0, 0), 0);
    for (sequence, place, op, value) in &*writes {
        while at < *sequence {
            states[at as usize] = state;
            at += 1;
        }
        state = (state.0 + 1, chained(state.1, *op));
        ensure!(*value == state, "write {op} at ({sequence}, {place}) answered {value:?}; the model says {state:?}");
    }
    states[at as usize..].fill(state);
    Ok(states)
}

impl Event {
    fn sequence(&self) -> u64 {
        match self {
            Event::Began(_) => 0,
            Event::Wrote { sequence, .. } | Event::Saw { sequence, .. } => *sequence,
        }
    }
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Stress {
    /// Repeats the choices.
    pub seed: u64,
    /// Threads that write; as many read.
    pub threads: u64,
    /// Writes of each thread.
    pub writes: u64,
    /// A folder on tmpfs.
    pub within: PathBuf,
}

/// Lets threads write and read at once over a disk that is slow at the worst moments, and judges their history.
///
/// # Errors
/// What no serial order explains, an answer that never came, a WAL that grows without end.
pub fn stress(stress: &Stress) -> Result<Judged> {
    let folder = tempfile::Builder::new().prefix("history-").tempdir_in(&stress.within)?;
    let disk = Disk::watch(folder.path())?;
    let store = Store::open(folder.path().join("work.db"), config(Some(vfs::register())), migrations(1))?;
    // Between the moment in which readers can see a commit and the one in which the writer hears of it.
    disk.plan(Plan::each(Method::ShmUnlock, FileKind::Database, Fault::Slow(Duration::from_micros(30))));
    let began = Instant::now();
    let threads =
        Threads { store: &store, events: Mutex::default(), calls: AtomicU64::new(0), ended: AtomicBool::new(false) };
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..stress.threads)
            .map(|t| {
                scope.spawn({
                    let threads = &threads;
                    move || threads.write(t, stress)
                })
            })
            .collect();
        let readers: Vec<_> = (0..stress.threads)
            .map(|t| {
                scope.spawn({
                    let threads = &threads;
                    move || threads.read(t, stress.seed)
                })
            })
            .collect();
        let join = |t: std::thread::ScopedJoinHandle<'_, Result<()>>| {
            t.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
        };
        let mut results: Vec<_> = writers.into_iter().map(join).collect();
        threads.ended.store(true, SeqCst);
        results.extend(readers.into_iter().map(join));
        results
    });
    results.into_iter().collect::<Result<()>>()?;
    let took = began.elapsed();
    let events = threads.events.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut judged = judge(&events)?;
    judged.took = took;
    disk.heal();
    starts_over(&store, stress.threads * stress.writes)?;
    store.close()?;
    Ok(judged)
}

/// Writes while readers look in now and then, whose snapshots stay open in between: the WAL must start over all the same.
fn starts_over(store: &Store, first: u64) -> Result<()> {
    let ended = AtomicBool::new(false);
    let (mut before, mut restarts) = (0, 0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(SeqCst) {
                    let _ = store.read_blocking(|s| s.query_row("SELECT n FROM chain", [], |r| r.get::<_, i64>(0)));
                    Disk::delay(LOOKS_IN_EACH);
                }
            });
        }
        let written = (first..first + WRITES_BESIDE).try_for_each(|op| {
            store.write_blocking(move |tx| add(tx, op, End::Well))?;
            let bytes = store.status().wal_bytes;
            restarts += u64::from(bytes < before);
            before = bytes;
            Ok::<_, Error>(())
        });
        ended.store(true, SeqCst);
        written
    })?;
    let soft = config(None).wal_soft_bytes;
    ensure!(
        restarts > 0,
        "the WAL has {before} bytes, should begin anew near {soft}, and has not in {WRITES_BESIDE} writes"
    );
    Ok(())
}

struct Threads<'a> {
    store: &'a Store,
    events: Mutex<Vec<Event>>,
    calls: AtomicU64,
    ended: AtomicBool,
}

impl Threads<'_> {
    fn write(&self, thread: u64, stress: &Stress) -> Result<()> {
        let mut random = Random::new(stress.seed ^ thread << 32);
        for n in 0..stress.writes {
            let op = thread + n * stress.threads;
            let end = match random.below(20) {
                0 => End::Refuse,
                1 => End::Rollback,
                2 => End::Panic,
                _ => End::Well,
            };
            let call = self.begin();
            let ticket = Ticket::label("rig").tenant(Tenant(thread + 1));
            let write = self.store.write_with(ticket, move |tx| add(tx, op, end));
            match (within(ANSWER_MAX, write), end) {
                (None, _) => bail!("write {op} was never answered"),
                (Some(Ok(w)), End::Well) => {
                    self.note(Event::Wrote { call, op, sequence: w.sequence, place: w.place, value: w.value });
                }
                (Some(Ok(_)), _) => bail!("write {op} should have failed ({end:?}) and was acknowledged"),
                (Some(Err(e)), End::Well) => return Err(e.into()),
                (Some(Err(_)), _) => {}
            }
        }
        Ok(())
    }

    fn read(&self, thread: u64, seed: u64) -> Result<()> {
        let mut random = Random::new(seed ^ thread << 40);
        while !self.ended.load(SeqCst) {
            let slow = random.percent(3);
            let ticket = Ticket { slow, ..Ticket::label("rig-read") };
            let call = self.begin();
            let read = self.store.read_with(ticket, |s| {
                s.query_row("SELECT n, h FROM chain WHERE id = 1", [], |r| Ok((r.get(0)?, r.get(1)?)))
            });
            match within(ANSWER_MAX, read) {
                None => bail!("a read was never answered"),
                Some(Err::<_, Error>(e)) => return Err(e.into()),
                Some(Ok(seen)) => self.note(Event::Saw { call, sequence: seen.sequence, value: seen.value }),
            }
        }
        Ok(())
    }

    fn begin(&self) -> u64 {
        let call = self.calls.fetch_add(1, SeqCst);
        self.note(Event::Began(call));
        call
    }

    fn note(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrote(call: u64, op: u64, sequence: u64, place: u32, before: (i64, i64)) -> Event {
        Event::Wrote { call, op, sequence, place, value: (before.0 + 1, chained(before.1, op)) }
    }

    #[test]
    fn history_that_a_serial_order_explains_passes_and_others_do_not() {
        let first = (1, chained(0, 7));
        let good = [
            Event::Began(1),
            Event::Began(2),
            wrote(1, 7, 3, 0, (0, 0)),
            Event::Saw { call: 2, sequence: 2, value: (0, 0) },
            Event::Began(3),
            Event::Saw { call: 3, sequence: 3, value: first },
        ];
        judge(&good).unwrap();
        let stale = [&good[..5], &[Event::Saw { call: 3, sequence: 2, value: (0, 0) }]].concat();
        assert!(judge(&stale).unwrap_err().to_string().contains("began after"), "a read of the past");
        let torn = [&good[..5], &[Event::Saw { call: 3, sequence: 3, value: (0, 0) }]].concat();
        assert!(judge(&torn).unwrap_err().to_string().contains("the state is"), "an old snapshot under a new number");
        let back =
            [&good[..], &[Event::Began(4), wrote(4, 9, 3, 1, first), Event::Began(5), wrote(5, 8, 2, 0, (0, 0))]];
        assert!(judge(&back.concat()).is_err(), "a commit in the past");
        let swapped = [Event::Began(1), wrote(1, 7, 3, 0, (4, 4))];
        assert!(judge(&swapped).unwrap_err().to_string().contains("the model says"), "another write's answer");
    }
}
