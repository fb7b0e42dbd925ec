//! Applying a list of migrations at open.

use super::ledger::{self, Row};
use super::stepwise::{InTx, PendingStepwise, run_to_end};
use super::{Migration, Migrations, quick};
use crate::error::{Error, Kind, Result};
use rusqlite::Connection;
use std::collections::HashSet;

/// Brings the file up to the program's list and answers the stepwise migrations that are left to run between other
/// writes, in order: the next one begins when the one before is done.
///
/// Runs on the writer's connection before its thread starts, with the authorizer open and no transaction. It uses the
/// connection's progress handler and update hook and leaves both empty. A stepwise migration with a quick step behind it
/// is run to its end here; `in_tx` lends its batches their [`Tx`](crate::Tx).
pub(crate) fn apply(
    connection: &mut Connection,
    migrations: &Migrations,
    quick_rows_max: u64,
    in_tx: InTx<'_>,
) -> Result<Vec<PendingStepwise>> {
    let steps = migrations.steps();
    refuse_bad_list(steps)?;
    let past = ledger::read(connection)?;
    compare(&past, steps)?;
    let epoch = ledger::epoch(connection)?;
    let last_quick = steps.iter().rposition(|s| matches!(s, Migration::Quick { .. }));
    let mut left = Vec::new();
    for (position, step) in steps.iter().enumerate() {
        if past.get(position).is_some_and(|row| row.applied) {
            continue;
        }
        match step {
            Migration::Quick { name, sql } => {
                quick::run(connection, (position, epoch), step, name, sql, quick_rows_max)?;
            }
            Migration::Stepwise(stepwise) => {
                let pending = PendingStepwise { position, step: stepwise };
                if last_quick > Some(position) && past.len() <= last_quick.unwrap_or(0) {
                    run_to_end(connection, &pending, epoch, &mut *in_tx)?;
                } else {
                    left.push(pending);
                }
            }
        }
    }
    Ok(left)
}

fn refuse_bad_list(steps: &[Migration]) -> Result<()> {
    let mut names = HashSet::new();
    for step in steps {
        if step.name().is_empty() {
            return Err(Error::new(Kind::Invalid, "a migration without a name"));
        }
        if !names.insert(step.name()) {
            return Err(Error::new(Kind::Invalid, format!("two migrations are called {:?}", step.name())));
        }
    }
    Ok(())
}

/// The file's record must be the head of the program's list.
fn compare(past: &[Row], steps: &[Migration]) -> Result<()> {
    for (position, row) in past.iter().enumerate() {
        let Some(step) = steps.get(position) else {
            return Err(Error::new(
                Kind::Newer,
                format!(
                    "the file was brought to migration {:?} (number {}) by a newer program; this one knows {}",
                    row.name,
                    past.len(),
                    steps.len()
                ),
            ));
        };
        let what = if row.name != step.name() {
            format!("is {:?} in this program", step.name())
        } else if row.kind != step.kind() {
            format!("is {} in this program and was {}", step.kind(), row.kind)
        } else if row.checksum != step.checksum() {
            "has another text in this program".to_owned()
        } else {
            continue;
        };
        return Err(Error::new(
            Kind::Changed,
            format!(
                "migration {:?} (number {}) ran on this file and {what}: what ran in the past cannot change; put the change into a new step at the end",
                row.name,
                position + 1
            ),
        ));
    }
    Ok(())
}
