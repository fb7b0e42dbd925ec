//! Stepwise migrations: batch after batch, each a transaction of its own between the groups.
//!
//! **Invariants**
//! - One that failed goes on at the next start; the store serves meanwhile.
//!
//! Never here: which migrations a file needs (`migrate`).

use super::Tx;
use super::writer::Writer;
use crate::error::Result;
use crate::migrate::{self, PendingStepwise, Progress};
use crate::reply::{far_from_now, lock};
use crate::ticket::Ticket;
use std::time::Instant;

impl Writer {
    /// One batch of a stepwise migration, in a transaction of its own.
    pub(super) fn step(&mut self) {
        let Some(pending) = self.steps.front().copied() else { return };
        if self.shared.read_only_error().is_some() {
            return self.steps.clear();
        }
        self.shared.holding.set(&Ticket::label("migration"), Instant::now());
        let result = self.begin().and_then(|()| self.run_step(&pending)).and_then(|progress| {
            self.commit(1)?;
            Ok(progress)
        });
        match result {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => drop(self.steps.pop_front()),
            Err(error) => {
                let _ = self.connection.rollback();
                self.steps.clear();
                let text = format!("{} stopped and goes on at the next start: {error}", pending.name());
                *lock(&self.shared.trouble) = Some(text);
            }
        }
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
