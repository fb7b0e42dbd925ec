//! Stepwise migrations: batches whose cursor is saved in the transaction of their changes.
//!
//! **Invariants**
//! - The cursor is read from the file before each batch, never from memory: a group that was undone and runs again
//!   starts where the file stands.

use super::{Migration, Progress, Stepwise, ledger};
use crate::error::{Error, Kind, Result};
use crate::write::Tx;
use rusqlite::Connection;

/// Lends a batch its [`Tx`] on a connection. The store's own statements run outside of it, so the lender may close the
/// authorizer around the call.
pub(crate) type InTx<'a> = &'a mut dyn FnMut(&Connection, Batch<'_>) -> Result<Progress>;

/// One batch, to be called once with a [`Tx`].
pub(crate) type Batch<'a> = &'a mut dyn FnMut(&Tx<'_>) -> Result<Progress>;

/// A stepwise migration that is not finished.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PendingStepwise {
    pub(super) position: usize,
    pub(super) step: &'static Stepwise,
}

impl PendingStepwise {
    /// The name recorded in the file.
    pub(crate) fn name(&self) -> &'static str {
        self.step.name
    }
}

/// Runs one batch in the caller's transaction and saves its cursor there. `sequence` is the number that the transaction
/// will commit as. Called with the authorizer open; `in_tx` closes it around the migration's own code.
pub(crate) fn run_batch(
    connection: &Connection,
    pending: &PendingStepwise,
    sequence: u64,
    in_tx: InTx<'_>,
) -> Result<Progress> {
    let within = |e: Error| e.within(format!("migration {:?}", pending.step.name));
    let mut cursor = ledger::cursor(connection, pending.position).map_err(within)?;
    let before = cursor.clone();
    let mut batch = |tx: &Tx<'_>| {
        cursor = before.clone();
        (pending.step.step)(tx, &mut cursor)
    };
    let progress = in_tx(connection, &mut batch).map_err(within)?;
    let finished = (progress == Progress::Done).then_some(sequence);
    ledger::save(connection, pending.position, &Migration::Stepwise(pending.step), &cursor, finished)
        .map_err(within)?;
    Ok(progress)
}

/// Runs a migration to its end, a transaction a batch: at open, where a later step needs it finished.
pub(super) fn run_to_end(
    connection: &Connection,
    pending: &PendingStepwise,
    epoch: i64,
    in_tx: InTx<'_>,
) -> Result<()> {
    loop {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = batch_at_open(connection, pending, epoch, &mut *in_tx);
        let undo = || {
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
        };
        match done {
            Ok(progress) => {
                connection.execute_batch("COMMIT").inspect_err(|_| undo())?;
                if progress == Progress::Done {
                    return Ok(());
                }
            }
            Err(e) => {
                undo();
                return Err(e);
            }
        }
    }
}

fn batch_at_open(connection: &Connection, pending: &PendingStepwise, epoch: i64, in_tx: InTx<'_>) -> Result<Progress> {
    let sequence = ledger::raise_sequence(connection, epoch)?;
    let progress = run_batch(connection, pending, sequence as u64, in_tx)?;
    if connection.is_autocommit() {
        let what = format!("migration {:?} ended the transaction it ran in", pending.step.name);
        return Err(Error::new(Kind::Invalid, what));
    }
    Ok(progress)
}
