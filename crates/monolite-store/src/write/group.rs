//! A group: many callers' writes in one transaction with one commit.
//!
//! **Invariants**
//! - Each write runs behind its own savepoint; only its own changes are undone when it fails.
//! - SQLite ends the *whole* transaction in some errors (an interrupt inside a changing statement, `OR ROLLBACK`,
//!   `RAISE(ROLLBACK)`, disk full, out of memory). Then the culprit is answered and the others run again without it.
//! - The watch's flag decides: past its deadline a write is undone even if it returned `Ok`.

use super::Tx;
use super::job::{Job, Ran};
use super::writer::Writer;
use crate::error::{Error, Kind, Result};
use crate::sqlite::raw;
use crate::sqlite::watch::Tripped;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

/// A write in a group, and what its last run came to.
pub(crate) struct Member {
    pub(crate) job: Arc<dyn Job>,
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

/// A run's effect on the group.
enum Effect {
    /// The transaction stands; whether this member changed anything.
    Stands { changed: bool },
    /// The transaction is gone, by this member's fault.
    Gone,
}

/// How many members ran, and whether there is something to commit.
pub(crate) struct Filled {
    pub(crate) ran: usize,
    pub(crate) changed: bool,
}

impl Member {
    pub(crate) fn new(job: Arc<dyn Job>) -> Self {
        Member { job, outcome: Outcome::Open, answered: false }
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
    pub(crate) fn into_job(mut self) -> Arc<dyn Job> {
        self.answered = true;
        self.job.clone()
    }
}

/// Only a panic of the writer drops a member without an answer, perhaps in the middle of a commit.
impl Drop for Member {
    fn drop(&mut self) {
        if !self.answered {
            let error = Error::new(Kind::OutcomeUnknown, "the writer's thread panicked; restart to find out");
            if let Some(waker) = self.job.fail(error) {
                waker.wake();
            }
        }
    }
}

impl Writer {
    /// Runs members in the open transaction, until the group is full. `Err(place)` is the culprit of a lost transaction.
    pub(crate) fn fill(&mut self, members: &mut [Member], most: usize) -> std::result::Result<Filled, usize> {
        let start = Instant::now();
        let rows_before = self.connection.sqlite().total_changes();
        let alone = members.len() == 1;
        let mut changed = false;
        for (place, member) in members.iter_mut().enumerate() {
            let rows = self.connection.sqlite().total_changes() - rows_before;
            let full = start.elapsed() > self.shared.config.group_time_max || rows > self.shared.config.group_rows_max;
            if place > 0 && (place >= most || full) {
                return Ok(Filled { ran: place, changed });
            }
            match self.run(member, alone) {
                Effect::Stands { changed: c } => changed |= c,
                Effect::Gone => return Err(place),
            }
        }
        Ok(Filled { ran: members.len(), changed })
    }

    fn run(&mut self, member: &mut Member, alone: bool) -> Effect {
        if matches!(member.outcome, Outcome::Panicked) {
            return Effect::Stands { changed: false };
        }
        let order = member.job.order();
        self.shared.holding.set(&order.ticket, Instant::now());
        let rows = self.connection.sqlite().total_changes();
        let entered = if alone { Ok(()) } else { self.connection.savepoint() };
        let settled = entered.and_then(|()| self.run_closure(member, alone));
        let changed = self.connection.sqlite().total_changes() != rows;
        match settled {
            Ok(kept) if !self.connection.sqlite().is_autocommit() => Effect::Stands { changed: changed && kept },
            Ok(_) => Effect::Gone,
            Err(error) => {
                member.outcome = Outcome::Failed(error);
                Effect::Gone
            }
        }
    }

    /// Runs the closure and settles its savepoint; answers whether its changes were kept.
    fn run_closure(&mut self, member: &mut Member, alone: bool) -> Result<bool> {
        let connection = &self.connection;
        raw::clear_last_insert_rowid(connection.sqlite());
        let order = member.job.order();
        let start = Instant::now();
        connection.watch.arm_timed(order.deadline);
        let ran = member.job.run(&Tx::new(connection.sqlite(), &connection.watch, self.sequence));
        connection.watch.check_deadline();
        connection.watch.disarm();
        self.costs.learn(order.kind, start.elapsed());
        if let Some(o) = &self.shared.config.observer {
            o.held(order.ticket.label, start.elapsed());
        }
        let gone = connection.sqlite().is_autocommit();
        member.outcome = match (connection.watch.tripped(), &ran) {
            (_, Ran::Panicked) => Outcome::Panicked,
            (Some(why), _) => Outcome::Failed(self.late(&member.job, why)),
            (None, Ran::Refused) => Outcome::Own,
            (None, Ran::Kept) if gone => Outcome::Failed(Error::new(
                Kind::Internal,
                "the write went on after SQLite had ended its transaction; nothing of it was kept",
            )),
            (None, Ran::Kept) if raw::deferred_keys_are_violated(connection.sqlite()) => Outcome::Failed(Error::new(
                Kind::Constraint,
                "a deferred foreign key is violated at the end of the write",
            )),
            (None, Ran::Kept) => {
                if !alone {
                    connection.release()?;
                }
                member.outcome = Outcome::Own;
                return Ok(true);
            }
        };
        if !gone {
            if alone {
                connection.rollback()?;
                connection.begin()?;
            } else {
                connection.undo()?;
            }
        }
        Ok(false)
    }

    fn late(&self, job: &Arc<dyn Job>, why: Tripped) -> Error {
        let order = job.order();
        let label = if order.ticket.label.is_empty() { "a write" } else { order.ticket.label };
        let waited = order.deadline.saturating_duration_since(order.queued);
        let text = match why {
            Tripped::Evicted => format!("{label} was stopped: the store is closing; nothing was done"),
            _ => format!("{label} was stopped at its deadline of {waited:?} and undone; write less, or in pieces"),
        };
        Error::new(Kind::Late, text).with_statement(None)
    }
}
