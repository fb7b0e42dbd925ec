//! The writer: the one thread that may change a store's file.
//!
//! Writes queue for it and run one after another inside a shared transaction, the *group*; replies leave after the
//! group's single fsync.
//!
//! **Invariants**
//! - After COMMIT, in this order: the epoch is raised, then replies leave; refusals too.
//! - A group that changed nothing is rolled back and takes no number.
//! - After a failed commit nothing is acknowledged before its outcome is settled (`settle`).
//! - The sequence's update carries the writer epoch, so that a writer that was replaced cannot commit.
//!
//! Never here: a service's SQL, retries of an fsync.

use super::costs::Costs;
use super::group::{Filled, Lost, Member, lose};
use super::job::{Job, mark_writer_thread};
use super::queue::{Bill, Closing, GroupSize, Next, Queued};
use super::steps::Steps;
use crate::checkpoint;
use crate::error::{Error, Kind, Result};
use crate::follow::pace::Pace;
use crate::migrate::PendingStepwise;
use crate::planted::planted;
use crate::replaced::Placed;
use crate::reply::{lock, wake_contained};
use crate::sqlite::connection::Connection;
use crate::store::Shared;
use crate::ticket::Ticket;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

/// Transactions that one group may lose to its members before its writes go one by one.
const LOST_MAX: usize = 2;
/// How long another connection may hold SQLite's write lock.
const BEGIN_BUSY_MAX: Duration = Duration::from_millis(100);

/// The writer's own state; it lives on its thread.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connection: Connection,
    pub(crate) sequence: u64,
    /// The last look at the clock.
    pub(crate) looked: Instant,
    epoch: i64,
    epoch_in_file: i64,
    /// The group that was taken; empty between two groups.
    taken: VecDeque<Queued>,
    /// What ran and is not settled yet.
    pub(super) bills: Vec<Bill>,
    pub(crate) costs: Costs,
    /// How long the last commit took, what one takes on average, and one of a small group; 0 before the first. And the frames
    /// of the last one.
    pub(super) commit_ns: u64,
    usual_commit_ns: u64,
    pub(super) small_commit_ns: u64,
    pub(super) commit_frames: u64,
    pub(super) steps: Steps,
    last_group: usize,
    pub(crate) wal: checkpoint::Progress,
    pace: Pace,
}

/// Groups from this size on wait a moment for their callers to come back.
const GATHER_FROM: usize = 8;

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, connection: Connection, steps: Vec<PendingStepwise>) -> Result<Self> {
        let (sequence, epoch_in_file) = connection.sequence()?;
        // That of the migrations which ran at the opening.
        let epoch = shared.following.found().epoch + 1;
        let _ = shared.writer_watch.set(connection.watch.clone());
        *lock(&shared.placed) = Placed::begin(&shared, &connection);
        Ok(Writer {
            shared,
            connection,
            sequence,
            looked: Instant::now(),
            epoch,
            epoch_in_file,
            taken: VecDeque::new(),
            bills: Vec::new(),
            costs: Costs::new(),
            commit_ns: 0,
            usual_commit_ns: 0,
            small_commit_ns: 0,
            commit_frames: 0,
            steps: Steps::new(steps),
            last_group: 0,
            wal: checkpoint::Progress::default(),
            pace: Pace::new(),
        })
    }

    /// The thread's life. It ends the store: connections, and with the last of them the file's lock.
    pub(crate) fn serve(mut self) {
        mark_writer_thread();
        if catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            self.shared.holding.clear();
            self.shared.stop_writing("the writer's thread panicked; restart the program");
            self.shared.queue.close(Closing::Abandoned);
            let _ = self.connection.rollback();
            let left = self.left();
            wake(left.into_iter().filter_map(|job| job.fail(self.shared.refusal())).collect());
            // Reads go on until the store is closed by its handles.
            self.shared.queue.wait_for_close();
            self.shared.close_reads();
            self.shared.following.end();
            self.shared.end_marking(true);
        }
    }

    fn work(&mut self) {
        loop {
            let (wait, size) = (!self.steps.are_due(), self.group_size());
            match self.shared.clone().queue.next(&mut self.bills, &mut self.taken, &self.costs, size, wait) {
                Next::Close(how) => {
                    self.shared.close_reads();
                    if how == Closing::Drained {
                        self.shared.following.close(self.sequence);
                        self.last_checkpoint();
                    }
                    self.shared.following.end();
                    self.shared.end_marking(how == Closing::Drained);
                    break;
                }
                Next::Errand => {
                    self.shared.holding.set(&Ticket::label("checkpoint"), Instant::now());
                    self.finish_checkpoint();
                    self.pause();
                }
                Next::Jobs => {
                    let is_paced = self.shared.following.is_paced() || self.press() > 0;
                    let began = is_paced.then(Instant::now);
                    if !self.taken.is_empty() {
                        self.group();
                        self.gather();
                    }
                    if self.steps.are_due() {
                        self.step();
                    }
                    if let Some(began) = began {
                        let worked = began.elapsed();
                        let (frames, large) = (self.connection.wal_frames.load(Ordering::Relaxed), self.is_wal_large());
                        self.pace.after_group(&self.shared, self.sequence, frames, worked, large);
                        self.give_way(worked);
                    }
                }
            }
            self.shared.holding.clear();
            self.after_group();
        }
        let left = self.left();
        wake(left.into_iter().filter_map(|job| job.fail(self.shared.closed_error())).collect());
    }

    pub(super) fn group_size(&self) -> GroupSize {
        let max = self.shared.config.group_max();
        let commit = Duration::from_nanos(self.usual_commit_ns);
        let time = max.time(commit);
        GroupSize { writes: max.writes.max(1), time, fill: time.min(commit * 2) }
    }

    /// Pauses for the cuts that ask for it.
    fn pause(&self) {
        for pause in self.shared.queue.pauses() {
            self.shared.holding.set(&Ticket::label("cut"), Instant::now());
            pause.attend();
        }
    }

    /// Everything that nobody has answered.
    fn left(&mut self) -> Vec<Arc<dyn Job>> {
        self.taken.drain(..).map(|queued| queued.work.job).chain(self.shared.queue.drain()).collect()
    }

    /// Waits a moment for the callers of the last group to come back, where it was a crowd.
    fn gather(&self) {
        if self.last_group >= GATHER_FROM {
            self.shared.queue.gather(self.last_group);
        }
    }

    fn group(&mut self) {
        let mut members = self.choose();
        self.last_group = members.len();
        let mut lost = 0;
        let mut most = usize::MAX;
        let mut guarded = false;
        let mut wakers = Vec::with_capacity(members.len());
        while !members.is_empty() {
            if let Some(error) = self.shared.read_only_error() {
                wakers.extend(members.drain(..).filter_map(|m| m.fail(error())));
                break;
            }
            if let Some(error) = self.shared.following.refusal() {
                fail_all(&mut members, &error, &mut wakers);
                break;
            }
            if let Err(error) = self.begin() {
                fail_all(&mut members, &error.within("the writer could not begin"), &mut wakers);
                break;
            }
            let limit = if lost > LOST_MAX { 1 } else { most };
            match self.fill(&mut members, limit, guarded) {
                Ok(filled) => {
                    most = usize::MAX;
                    let rest = members.split_off(filled.ran);
                    self.end_group(std::mem::take(&mut members), &filled, &mut wakers);
                    if lost > 0 {
                        members = rest; // they have waited for the culprit already
                    } else {
                        self.give_back(rest);
                    }
                }
                Err(Lost::Unguarded(place)) => {
                    guarded = true;
                    lose(&mut members, place, false);
                }
                Err(Lost::By(place)) => {
                    lost += 1;
                    let rolled_back = self.connection.rollback();
                    let is_over = place == 0 || members[place].is_settled();
                    lose(&mut members, place, is_over);
                    if is_over {
                        self.bill(&members[place], 0);
                        wakers.extend(members.remove(place).answer(self.sequence, 0));
                    } else {
                        // What it answered may rest on a neighbour that was undone with it: commit those before it,
                        // then let it run first.
                        most = place;
                    }
                    if let Err(error) = rolled_back {
                        fail_all(&mut members, &error.within("the writer could not roll back"), &mut wakers);
                    }
                }
            }
        }
        wake(wakers);
    }

    /// Begins; a reader that repairs a torn wal-index header holds the write lock for an instant.
    pub(super) fn begin(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            match self.connection.begin() {
                Err(e) if e.kind() == Kind::Busy && start.elapsed() < BEGIN_BUSY_MAX => std::thread::yield_now(),
                result => return result,
            }
        }
    }

    /// The next group's members out of what was taken: who is still waited for, and not late.
    fn choose(&mut self) -> Vec<Member> {
        let config = &self.shared.config;
        let mut members: Vec<Member> = Vec::with_capacity(self.taken.len());
        let mut late = Vec::new();
        let now = Instant::now();
        if self.taken.len() == config.group_writes_max.max(1) {
            self.shared.reaching.group_writes.fetch_add(1, Ordering::Relaxed);
        }
        for queued in self.taken.drain(..) {
            let order = queued.work.job.order();
            let nothing = Bill { tenant: queued.tenant, cost: queued.cost, charge_ns: 0, is_husk: false };
            if !queued.work.job.claim() {
                self.bills.push(Bill { is_husk: true, ..nothing });
                continue;
            }
            if let Some(o) = &config.observer {
                o.waited(order.ticket.label, now.saturating_duration_since(order.queued));
            }
            if now > order.deadline {
                self.shared.reaching.late.fetch_add(1, Ordering::Relaxed);
                let waited = now.saturating_duration_since(order.queued);
                let text = format!("the write waited {waited:?} for its turn, past its deadline; nothing was done");
                late.extend(queued.work.job.fail(Error::new(Kind::Late, text)));
                self.bills.push(nothing);
                continue;
            }
            members.push(Member::new(queued));
        }
        if self.bills.iter().any(|bill| bill.is_husk) {
            self.shared.queue.settle(&mut self.bills); // their places are free before the group runs
        }
        wake(late);
        if planted!("clients_out_of_order") {
            members.reverse();
        }
        members
    }

    /// Gives members back that did not fit into their group.
    fn give_back(&mut self, rest: Vec<Member>) {
        if !rest.is_empty() {
            self.shared.queue.give_back(rest.into_iter().map(Member::into_queued));
        }
    }

    /// Commits or rolls back, raises the epoch, answers.
    fn end_group(&mut self, mut members: Vec<Member>, filled: &Filled, wakers: &mut Vec<Waker>) {
        if planted!("answer_before_commit") && filled.changed {
            wake(members.drain(..).zip(0..).filter_map(|(m, place)| m.answer(self.sequence + 1, place)).collect());
        }
        if planted!("answers_swapped") {
            members.reverse();
        }
        self.shared.holding.set(&Ticket::label("commit"), self.looked);
        let ended = if filled.changed {
            self.commit(members.len())
        } else {
            self.connection.rollback().map(|()| self.sequence)
        };
        self.bill_group(&members, filled.changed);
        match ended {
            Ok(sequence) => {
                wakers.extend(members.into_iter().zip(0..).filter_map(|(m, place)| m.answer(sequence, place)));
            }
            Err(error) => {
                fail_all(&mut members, &error, wakers);
            }
        }
    }

    /// Makes the open transaction durable under the next number.
    pub(super) fn commit(&mut self, writes: usize) -> Result<u64> {
        #[cfg(monolite_planted)]
        if crate::planted::is("sequence_skips") && crate::planted::each(30) {
            let _ = self.connection.set_sequence(self.sequence + 1, self.epoch, self.epoch_in_file);
            (self.sequence, self.epoch_in_file) = (self.sequence + 1, self.epoch);
        }
        self.refuse_replaced(false)?;
        let sequence = self.sequence + 1;
        // The last statement counts: it makes virtual tables (full-text search) write out what the group gave them.
        let (start, frames) = (Instant::now(), self.connection.wal_frames.load(Ordering::Relaxed));
        self.epoch = self.shared.following.epoch(self.epoch);
        match self.connection.set_sequence(sequence, self.epoch, self.epoch_in_file) {
            Ok(true) => {}
            Ok(false) => {
                let _ = self.connection.rollback();
                self.shared.stop_writing("another writer has taken the file over");
                return Err(Error::new(Kind::ReadOnly, "another writer has taken the file over; nothing was done"));
            }
            Err(error) => {
                let _ = self.connection.rollback();
                return Err(error.within("the group could not be numbered; nothing was done"));
            }
        }
        if let Err(error) = self.connection.commit() {
            self.settle_failed_commit(sequence, error)?;
        }
        let took = start.elapsed();
        self.commit_ns = took.as_nanos() as u64;
        let now = self.connection.wal_frames.load(Ordering::Relaxed);
        self.commit_frames = now.checked_sub(frames).unwrap_or(now); // or it started the WAL over
        if now < frames {
            self.shared.rounds.started_over();
        }
        self.usual_commit_ns = (self.usual_commit_ns * 7 + self.commit_ns) / 8;
        self.epoch_in_file = self.epoch;
        self.sequence = sequence;
        self.shared.epoch.fetch_max(sequence, Ordering::AcqRel);
        self.shared.following.committed(sequence, start + took);
        self.shared.awaited.reached(sequence);
        self.shared.mark_later();
        self.shared.wal_frames.store(self.connection.wal_frames.load(Ordering::Relaxed), Ordering::Relaxed);
        if let Some(o) = &self.shared.config.observer {
            o.committed(writes, took);
        }
        Ok(sequence)
    }
}

fn fail_all(members: &mut Vec<Member>, error: &Error, wakers: &mut Vec<Waker>) {
    wakers.extend(members.drain(..).filter_map(|m| m.fail(error.again())));
}

fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(wake_contained);
}
