//! Stepwise migrations: batch after batch, each a transaction of its own between the groups.
//!
//! **Invariants**
//! - One that failed goes on at the next start; where what it met may pass, a full disk above all or a name that cannot be looked
//!   up, a moment later, and where that does not pass, a longer one each time, at most `AGAIN_MAX`. The store serves meanwhile.
//!
//! Never here: which migrations a file needs (`migrate`).

use super::Tx;
use super::writer::Writer;
use crate::error::{Error, Kind, Result};
use crate::migrate::{self, PendingStepwise, Progress};
use crate::reply::{far_from_now, lock};
use crate::ticket::Ticket;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a migration rests that met what may pass; twice as long where it is met again, and the most.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// What is told of it meanwhile.
const RESTS: &str = "goes on when this has passed";

/// The stepwise migrations that are not finished.
pub(super) struct Steps {
    pending: VecDeque<PendingStepwise>,
    /// When the first of them goes on, where it rests; and how long it does the next time.
    rests: Option<Instant>,
    again: Duration,
}

impl Steps {
    pub(super) fn new(pending: Vec<PendingStepwise>) -> Self {
        Steps { pending: pending.into(), rests: None, again: AGAIN }
    }

    /// Whether there is one, and it does not rest.
    pub(super) fn are_due(&self) -> bool {
        !self.pending.is_empty() && self.rests.is_none_or(|until| until <= Instant::now())
    }

    /// The first of them rests; answers how long.
    fn rest(&mut self, now: Instant) -> Duration {
        let wait = self.again;
        self.rests = Some(now + wait);
        self.again = (wait * 2).min(AGAIN_MAX);
        wait
    }
}

impl Writer {
    /// One batch of a stepwise migration, in a transaction of its own.
    pub(super) fn step(&mut self) {
        let Some(pending) = self.steps.pending.front().copied() else { return };
        if self.shared.read_only_error().is_some() {
            return self.steps.pending.clear();
        }
        if let Some(error) = self.shared.following.refusal() {
            return self.rest(pending.name(), &error);
        }
        self.steps.rests = None;
        self.shared.holding.set(&Ticket::label("migration"), Instant::now());
        let result = self.begin().and_then(|()| self.run_step(&pending)).and_then(|progress| {
            self.commit(1)?;
            Ok(progress)
        });
        match result {
            Ok(progress) => {
                self.steps.again = AGAIN;
                lock(&self.shared.trouble).take_if(|told| told.contains(RESTS));
                if progress == Progress::Done {
                    self.steps.pending.pop_front();
                }
            }
            Err(error) => {
                let _ = self.connection.rollback();
                if may_pass(error.kind()) {
                    return self.rest(pending.name(), &error);
                }
                self.steps.pending.clear();
                let text = format!("{} stopped and goes on at the next start: {error}", pending.name());
                *lock(&self.shared.trouble) = Some(text);
            }
        }
    }

    /// It goes on a moment later, without waiting for a write.
    fn rest(&mut self, name: &str, error: &Error) {
        lock(&self.shared.trouble).get_or_insert_with(|| format!("{name} {RESTS}: {error}"));
        let wait = self.steps.rest(Instant::now());
        self.shared.errand_later(wait);
    }

    fn run_step(&self, pending: &PendingStepwise) -> Result<Progress> {
        let (connection, sequence) = (&self.connection, self.sequence);
        let deadline = far_from_now(self.shared.config.deadline);
        let rights = connection.rights();
        connection.privileged(|sqlite| {
            migrate::run_batch(sqlite, pending, sequence + 1, &mut |sqlite, batch| {
                rights.lend(sqlite, deadline, |watch| batch(&Tx::new(sqlite, watch, sequence)))
            })
        })
    }
}

/// Whether what a batch met may be gone a moment later.
fn may_pass(kind: Kind) -> bool {
    matches!(kind, Kind::Full | Kind::Busy | Kind::Overloaded | Kind::Io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_pass_is_tried_ever_less_often_and_never_given_up() {
        let mut steps = Steps::new(Vec::new());
        let now = Instant::now();
        let waits: Vec<_> = (0..9).map(|_| steps.rest(now).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(steps.rests, Some(now + AGAIN_MAX));
        assert!(may_pass(Kind::Io) && may_pass(Kind::Full) && !may_pass(Kind::Constraint) && !may_pass(Kind::Corrupt));
    }
}
