//! The canonical workload: open, migrate, groups of writes with every end, checkpoints, a WAL that starts over, inline and
//! slow reads, closing, being killed, opening again.
//!
//! **Invariants**
//! - One client drives it, so that its calls have one order; a group is held back until all of its writes are queued.
//! - What is sent and answered is noted in the disk's log, before and after.
//! - Errors of a store are outcomes; an error of the run is something that must never happen, faults or not.

use super::gate::{Gate, Held};
use super::oracle::Knowledge;
use super::step::{ENDS, End, add, client};
use super::wait::within;
use super::{config, migrations};
use crate::disk::{Disk, Fate, Fault, Note, Plan};
use crate::random::Random;
use crate::vfs;
use anyhow::{Result, bail, ensure};
use monolite_store::{CheckpointMode, Error, Kind, Observer, Store, Tenant, Ticket, WriteWith, Written};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The store's mark, which it writes without SQLite and without a sync.
const MARK: &str = "work.db.mark";
/// How long an answer may take, whatever fails.
const ANSWER_MAX: Duration = Duration::from_secs(25);
/// How long a checkpoint beside the writer may take until the run goes on without it.
const SETTLE_MAX: Duration = Duration::from_millis(300);

/// What a run is like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Repeats it.
    pub seed: u64,
    /// Groups of writes after each of the four openings of the file.
    pub groups: u64,
    /// Most writes of a group.
    pub group_max: u64,
    /// Waits for each checkpoint, so that calls have the same order in each run.
    pub settle: bool,
    /// The program dies at this call after the third opening.
    pub killed_at: Option<u64>,
    /// Nothing goes wrong, so nothing but what must fail may fail.
    pub sound: bool,
}

/// What became of a run.
#[derive(Debug, Default)]
pub struct Run {
    /// What the client knows at its end.
    pub knowledge: Knowledge,
    /// How often the store answered what, where it should have done as it was told.
    pub errors: HashMap<(&'static str, Kind), u64>,
}

type Answer = (i64, i64);
type Sent = (u64, End, WriteWith<Answer, Error>);

/// Runs it in a folder whose disk is watched.
///
/// # Errors
/// An answer that never came, or that contradicts what is known.
pub fn run(folder: &Path, disk: &Arc<Disk>, shape: &Shape) -> Result<Run> {
    let mut driver = Driver {
        path: folder.join("work.db"),
        disk,
        shape,
        random: Random::new(shape.seed),
        store: None,
        next: 0,
        last: Some(((0, 0), (0, 0))),
        run: Run::default(),
        rounds: Arc::new(Rounds::default()),
    };
    for opening in 1..=4 {
        driver.open(opening)?;
        driver.read()?; // what recovery shows must not be lost again
        if opening == 3
            && let Some(call) = shape.killed_at
        {
            disk.plan(Plan::once(call, Fault::Crash));
        }
        for _ in 0..shape.groups {
            driver.group()?;
            driver.read()?;
            disk.look_beside(MARK);
        }
        driver.end(opening)?;
        disk.look_beside(MARK);
    }
    Ok(driver.run)
}

struct Driver<'a> {
    path: PathBuf,
    disk: &'a Arc<Disk>,
    shape: &'a Shape,
    random: Random,
    store: Option<Store>,
    next: u64,
    /// The commit and place of the last write and what it answered; `None` while an outcome is unknown.
    last: Option<((u64, u32), Answer)>,
    run: Run,
    rounds: Arc<Rounds>,
}

impl Driver<'_> {
    fn open(&mut self, opening: usize) -> Result<()> {
        let mut config = config(Some(vfs::register()));
        config.observer = Some(self.rounds.clone());
        match Store::open(&self.path, config, migrations(opening)) {
            Ok(store) => self.store = Some(store),
            Err(error) => self.failed("open", &error)?,
        }
        Ok(())
    }

    /// The first opening ends as it should, the second drops what is queued, the third is killed if the shape says so.
    fn end(&mut self, opening: usize) -> Result<()> {
        match self.store.take() {
            Some(store) if opening == 2 => store.abandon(),
            Some(store) if opening == 3 && self.shape.killed_at.is_some() => {
                store.abandon();
                self.disk.revive();
                self.last = None;
            }
            Some(store) => {
                if let Err(error) = store.close() {
                    self.failed("close", &error)?;
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Writes that are queued while another holds the writer, so that they come into one group; then all answers.
    fn group(&mut self) -> Result<()> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        let before = self.rounds.count();
        let (mut gate, held) = Gate::new();
        let mut first = self.send(&store, End::Well, Some(held));
        let early = gate.entered(&mut first.2);
        let mut sent = Vec::new();
        for _ in 0..self.random.below(self.shape.group_max + 1) {
            let odd = self.random.percent(25);
            let end = if odd { ENDS[self.random.below(ENDS.len() as u64) as usize] } else { End::Well };
            let write = self.send(&store, end, None);
            if end == End::Dropped && early.is_none() {
                drop(write.2); // before its turn, since the writer is held
                self.disk.note(Note::Answered(write.0, Fate::NotDone));
                self.run.knowledge.learn(Note::Answered(write.0, Fate::NotDone));
            } else {
                sent.push(write);
            }
        }
        gate.open();
        match early {
            Some(answer) => self.answered(first.0, first.1, answer)?,
            None => sent.insert(0, first),
        }
        for (op, end, write) in sent {
            let Some(answer) = within(ANSWER_MAX, write) else { bail!("write {op} was never answered") };
            self.answered(op, end, answer)?;
        }
        if self.shape.settle && store.status().wal_bytes >= config(None).wal_soft_bytes {
            self.rounds.wait(before);
        }
        Ok(())
    }

    fn send(&mut self, store: &Store, end: End, held: Option<Held>) -> Sent {
        let op = self.next;
        self.next += 1;
        self.note(Note::Sent(op));
        let mut ticket = Ticket::label("rig").tenant(Tenant(1 + client(op)));
        if end == End::Late {
            ticket = ticket.deadline(Instant::now());
        }
        let mut held = held;
        let write = store.write_with(ticket, move |tx| {
            if let Some(held) = held.take() {
                held.wait();
            }
            add(tx, op, end)
        });
        (op, end, write)
    }

    fn answered(&mut self, op: u64, end: End, answer: Result<Written<Answer>, Error>) -> Result<()> {
        let fate = match &answer {
            Ok(w) => Fate::Done { sequence: w.sequence, place: w.place },
            Err(e) if e.kind() == Kind::OutcomeUnknown => Fate::Unknown,
            Err(_) => Fate::NotDone,
        };
        self.note(Note::Answered(op, fate));
        match answer {
            Ok(written) => {
                ensure!(
                    matches!(end, End::Well | End::Dropped),
                    "write {op} should have failed ({end:?}) and was acknowledged"
                );
                let at = (written.sequence, written.place);
                if self.last.is_none_or(|(last, _)| at > last) {
                    self.last = Some((at, written.value));
                }
            }
            Err(error) => {
                if fate == Fate::Unknown {
                    self.last = None;
                }
                if end == End::Well {
                    self.failed("write", &error)?;
                }
            }
        }
        Ok(())
    }

    /// A read on this thread, or in the slow lane: it sees the last write that was answered, and nothing else.
    fn read(&mut self) -> Result<()> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        let mut ticket = Ticket::label("rig");
        if self.random.percent(40) {
            ticket = ticket.slow();
        }
        let chain = "SELECT n, h FROM chain WHERE id = 1";
        let read = store.read_with(ticket, move |s| s.query_row(chain, [], |r| Ok((r.get(0)?, r.get(1)?))));
        match within(ANSWER_MAX, read) {
            None => bail!("a read was never answered"),
            Some(Err(error)) => self.failed("read", &error),
            Some(Ok(seen)) => {
                let seen: (u64, Answer) = (seen.sequence, seen.value);
                self.note(Note::Seen(seen.0));
                if let Some(((sequence, _), answer)) = self.last {
                    ensure!(seen.0 >= sequence, "a read saw commit {} after {sequence} was answered", seen.0);
                    ensure!(seen.1 == answer, "a read saw {:?}, and the last write answered {answer:?}", seen.1);
                }
                Ok(())
            }
        }
    }

    fn failed(&mut self, what: &'static str, error: &Error) -> Result<()> {
        ensure!(!self.shape.sound || self.disk.is_dead(), "{what} failed on a sound disk: {error:?}");
        *self.run.errors.entry((what, error.kind())).or_insert(0) += 1;
        Ok(())
    }

    fn note(&mut self, note: Note) {
        self.disk.note(note);
        if !self.disk.is_dead() {
            self.run.knowledge.learn(note);
        }
    }
}

/// Counts the checkpoints that the writer has finished.
#[derive(Default)]
struct Rounds {
    done: Mutex<u64>,
    changed: Condvar,
}

impl Rounds {
    fn count(&self) -> u64 {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, before: u64) {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |done: &mut u64| *done <= before;
        drop(self.changed.wait_timeout_while(done, SETTLE_MAX, waiting));
    }
}

impl Observer for Rounds {
    fn checkpointed(&self, mode: CheckpointMode, _: u64, _: u64, _: Duration) {
        if mode == CheckpointMode::Between {
            *self.done.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            self.changed.notify_all();
        }
    }
}
