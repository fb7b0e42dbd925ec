//! A group: many callers' writes in one transaction with one commit.
//!
//! **Invariants**
//! - When a write fails only its own changes are undone, whatever it takes ([`Guard`]).
//! - SQLite ends the *whole* transaction in some errors (an interrupt inside a changing statement, `OR ROLLBACK`,
//!   `RAISE(ROLLBACK)`, disk full, out of memory). Then the culprit is answered and the others run again without it.
//! - The watch's flag decides: past its deadline a write is undone even if it returned `Ok`.

use super::Tx;
use super::job::{Job, Ran};
use super::queue::{Arrived, Queued};
use super::writer::Writer;
use crate::error::{Error, Kind, Result};
use crate::fair::Cost;
use crate::observe::SlowWork;
use crate::planted::planted;
use crate::sqlite::watch::Tripped;
use crate::sqlite::{raw, sight};
use crate::status::Hold;
use crate::ticket::Ticket;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::{Duration, Instant};

/// A write in a group, and what its last run came to.
pub(crate) struct Member {
    pub(crate) job: Arc<dyn Job>,
    /// What it was expected to cost, how long its last run held the writer, and how long runs did that were for nothing
    /// by its fault.
    pub(crate) cost: Cost,
    pub(crate) run_ns: u64,
    pub(crate) lost_ns: u64,
    outcome: Outcome,
    answered: bool,
}

/// What became of a member's last run; answered after the commit, since it may rest on an uncommitted neighbour.
enum Outcome {
    /// Not run, or run in a transaction that is gone.
    Open,
    /// Its changes are in the transaction, or it refused: its own result is the answer.
    Own,
    /// It panicked and cannot run again: its own result is the answer.
    Panicked,
    /// The store undid it.
    Failed(Error),
}

/// What a run's changes can be undone by.
///
/// A savepoint for each write costs two statements and, worse, makes FTS5 write its index to the file each time: a
/// segment for each document instead of one for each group, and merges to pay for them (40% of the writer's time). So a
/// write has none until its kind is known to fail late: most refuse before they change anything, and the few others are
/// undone with their whole group, which runs again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// The write is alone in its transaction.
    Transaction,
    /// Its own savepoint.
    Savepoint,
    /// The whole group's transaction.
    Group,
}

/// A run's effect on the group.
enum Effect {
    /// The transaction stands; whether this member changed anything.
    Stands { changed: bool },
    /// The transaction is gone, by this member's fault.
    Gone,
    /// The transaction was rolled back, since nothing less could undo this member.
    Unguarded,
}

/// How a group lost its transaction.
pub(crate) enum Lost {
    /// SQLite ended it in this member.
    By(usize),
    /// This member had no savepoint and had to be undone: all run again, behind savepoints.
    Unguarded(usize),
}

/// What a run of a closure was settled to.
enum Settled {
    Kept,
    Undone,
    Unguarded,
}

/// How many members ran, and whether there is something to commit.
pub(crate) struct Filled {
    pub(crate) ran: usize,
    pub(crate) changed: bool,
}

impl Member {
    pub(crate) fn new(queued: Queued) -> Self {
        Member {
            job: queued.work.job,
            cost: queued.cost,
            run_ns: 0,
            lost_ns: 0,
            outcome: Outcome::Open,
            answered: false,
        }
    }

    /// Answers the caller after the group's end.
    pub(crate) fn answer(mut self, sequence: u64, place: u32) -> Option<Waker> {
        self.answered = true;
        match std::mem::replace(&mut self.outcome, Outcome::Open) {
            Outcome::Failed(error) => self.job.fail(error),
            Outcome::Own | Outcome::Panicked => self.job.answer(sequence, place),
            Outcome::Open => self.job.fail(Error::new(Kind::Internal, "a write left its group without a run")),
        }
    }

    /// Answers with an error of the group.
    pub(crate) fn fail(mut self, error: Error) -> Option<Waker> {
        self.answered = true;
        match self.outcome {
            Outcome::Panicked => self.job.answer(0, 0),
            _ => self.job.fail(error),
        }
    }
}

/// The transaction is gone by a member's fault: the runs that were for nothing are its own. One that is over does not run
/// again, so its last run was not for nothing.
pub(crate) fn lose(members: &mut [Member], place: usize, is_over: bool) {
    let others: u64 = members[..place].iter().map(|m| m.run_ns).sum();
    let culprit = &mut members[place];
    let runs_again = !is_over && !matches!(culprit.outcome, Outcome::Panicked);
    culprit.lost_ns += others + if runs_again { culprit.run_ns } else { 0 };
}

impl Member {
    /// Whether its answer rests on nothing but itself.
    pub(crate) fn is_settled(&self) -> bool {
        match &self.outcome {
            Outcome::Panicked => true,
            Outcome::Failed(error) => error.kind() == Kind::Late,
            _ => false,
        }
    }

    /// Gives the write back to the queue.
    pub(crate) fn into_queued(mut self) -> Queued {
        self.answered = true;
        Queued { tenant: self.job.order().ticket.tenant, cost: self.cost, work: Arrived::again(self.job.clone()) }
    }
}

/// Only a panic of the writer drops a member without an answer, perhaps in the middle of a commit.
impl Drop for Member {
    fn drop(&mut self) {
        if !self.answered {
            let error = Error::new(Kind::OutcomeUnknown, "the writer's thread panicked; restart to find out");
            if let Some(waker) = self.job.fail(error) {
                crate::reply::wake_contained(waker);
            }
        }
    }
}

impl Writer {
    /// Runs members in the open transaction, until the group is full; `guarded` gives each its savepoint.
    pub(crate) fn fill(
        &mut self,
        members: &mut [Member],
        most: usize,
        guarded: bool,
    ) -> std::result::Result<Filled, Lost> {
        self.looked = Instant::now();
        let start = self.looked;
        let rows_before = self.connection.sqlite().total_changes();
        let alone = members.len() == 1;
        let mut changed = false;
        for (place, member) in members.iter_mut().enumerate() {
            let rows = self.connection.sqlite().total_changes() - rows_before;
            if place > 0 && (place >= most || self.is_full(start, rows)) {
                return Ok(Filled { ran: place, changed: changed || self.changed_uncounted() });
            }
            let guard = match guarded || self.costs.fails_late(member.job.order().kind) {
                _ if alone => Guard::Transaction,
                true => Guard::Savepoint,
                false => Guard::Group,
            };
            match self.run(member, guard) {
                Effect::Stands { changed: c } => changed |= c,
                Effect::Gone => return Err(Lost::By(place)),
                Effect::Unguarded => return Err(Lost::Unguarded(place)),
            }
        }
        Ok(Filled { ran: members.len(), changed: changed || self.changed_uncounted() })
    }

    /// Whether a group is to be committed before the next member.
    fn is_full(&self, start: Instant, rows: u64) -> bool {
        let config = &self.shared.config;
        if rows > config.group_rows_max {
            self.shared.reaching.group_rows.fetch_add(1, Relaxed);
            return true;
        }
        let is_late = self.looked - start > self.group_size().time;
        if is_late {
            self.shared.reaching.group_time.fetch_add(1, Relaxed);
        }
        is_late
    }

    /// Whether a statement that a caller left in the middle of its rows changed something: it counts when it is reset.
    fn changed_uncounted(&self) -> bool {
        let rows = self.connection.sqlite().total_changes();
        raw::reset_busy_statements(self.connection.sqlite());
        self.connection.sqlite().total_changes() != rows
    }

    fn run(&mut self, member: &mut Member, guard: Guard) -> Effect {
        if matches!(member.outcome, Outcome::Panicked) {
            return Effect::Stands { changed: false };
        }
        let order = member.job.order();
        let since = Instant::now();
        member.run_ns = 0;
        self.shared.holding.set(&order.ticket, since);
        let rows = self.connection.sqlite().total_changes();
        let entered = if guard == Guard::Savepoint { self.connection.savepoint() } else { Ok(()) };
        let settled = entered.and_then(|()| self.run_closure(member, guard, since));
        let changed = self.connection.sqlite().total_changes() != rows;
        match settled {
            Ok(Settled::Unguarded) => Effect::Unguarded,
            Ok(settled) if !self.connection.sqlite().is_autocommit() || planted!("lost_transaction_unnoticed") => {
                Effect::Stands { changed: changed && matches!(settled, Settled::Kept) }
            }
            Ok(_) => Effect::Gone,
            Err(error) => {
                member.outcome = Outcome::Failed(error);
                Effect::Gone
            }
        }
    }

    /// Runs the closure and settles what guards it; answers what became of its changes.
    fn run_closure(&mut self, member: &mut Member, guard: Guard, since: Instant) -> Result<Settled> {
        let connection = &self.connection;
        let rows = connection.sqlite().total_changes();
        raw::clear_last_insert_rowid(connection.sqlite());
        let order = member.job.order();
        let slow = self.shared.config.slow_write;
        let profiles = u128::from(member.cost.run_ns) * 2 > slow.as_nanos();
        if profiles {
            sight::profile(connection.sqlite(), &connection.watch);
        }
        connection.watch.arm_timed(order.deadline, Some((since, slow)));
        let ran = member.job.run(&Tx::new(connection.sqlite(), &connection.watch, self.sequence));
        self.looked = Instant::now();
        connection.watch.check_deadline(self.looked);
        connection.watch.disarm();
        let held = self.looked.saturating_duration_since(since);
        member.run_ns = held.as_nanos() as u64;
        if profiles {
            sight::unprofile(connection.sqlite());
        }
        let statement = connection.watch.sight.take();
        if held > slow || self.shared.longest.is_one(self.looked, held) {
            self.held_long(&order.ticket, since, held, statement.clone());
        }
        if let Some(o) = &self.shared.config.observer {
            o.held(order.ticket.label, held);
        }
        let gone = connection.sqlite().is_autocommit() && !planted!("lost_transaction_unnoticed");
        if matches!(ran, Ran::Refused) {
            self.shared.look_for_damage(connection.sqlite());
        }
        member.outcome = match (connection.watch.tripped(), &ran) {
            (_, Ran::Panicked) => Outcome::Panicked,
            (Some(why), _) => Outcome::Failed(self.late(&member.job, why, statement)),
            (None, Ran::Refused) => Outcome::Own,
            (None, Ran::Kept) if gone => Outcome::Failed(Error::new(
                Kind::Internal,
                "the write went on after SQLite had ended its transaction; nothing of it was kept",
            )),
            (None, Ran::Kept) if raw::deferred_keys_are_violated(connection.sqlite()) && !planted!("orphan_kept") => {
                Outcome::Failed(Error::new(
                    Kind::Constraint,
                    "a deferred foreign key is violated at the end of the write",
                ))
            }
            (None, Ran::Kept) => {
                #[cfg(monolite_planted)]
                if crate::planted::is("write_runs_twice") && crate::planted::each(30) {
                    member.job.run(&Tx::new(connection.sqlite(), &connection.watch, self.sequence));
                }
                if guard == Guard::Savepoint {
                    connection.release()?;
                }
                member.outcome = Outcome::Own;
                return Ok(Settled::Kept);
            }
        };
        let keeps_panic = planted!("panic_not_undone") && matches!(ran, Ran::Panicked);
        if !gone && !keeps_panic {
            match guard {
                Guard::Group if planted!("group_not_undone") => {}
                Guard::Transaction => {
                    connection.rollback()?;
                    connection.begin()?;
                }
                Guard::Savepoint => connection.undo()?,
                Guard::Group => {
                    // A statement counts its changes when it is reset.
                    raw::reset_busy_statements(connection.sqlite());
                    if connection.sqlite().total_changes() != rows {
                        self.costs.failed_late(order.kind);
                        connection.rollback()?;
                        return Ok(Settled::Unguarded);
                    }
                }
            }
        }
        Ok(Settled::Undone)
    }

    /// Notes a long hold, and logs a slow one.
    #[cold]
    fn held_long(&self, ticket: &Ticket, since: Instant, held: Duration, statement: Option<String>) {
        let Ticket { label, tenant, trace, .. } = *ticket;
        self.shared.longest.enter(Hold { label, tenant, trace, since, held, statement: statement.clone() });
        if held > self.shared.config.slow_write {
            self.shared.was_slow(SlowWork::Write, ticket, since, held, statement);
        }
    }

    fn late(&self, job: &Arc<dyn Job>, why: Tripped, statement: Option<String>) -> Error {
        if why == Tripped::Deadline {
            self.shared.reaching.late.fetch_add(1, Relaxed);
        }
        let order = job.order();
        let label = if order.ticket.label.is_empty() { "a write" } else { order.ticket.label };
        let waited = order.deadline.saturating_duration_since(order.queued);
        let text = match why {
            Tripped::Evicted => format!("{label} was stopped: the store is closing; nothing was done"),
            _ => format!("{label} was stopped at its deadline of {waited:?} and undone; write less, or in pieces"),
        };
        Error::new(Kind::Late, text).with_statement(statement.map(String::into_boxed_str))
    }
}
