//! The end of files: the row at once, the pieces a few at a time.

use super::PIECES;
use super::rows::{self, Row};
use super::turns::Turns;
use crate::contract::DeleteFile;
use monolite_service::{Flow, Outcome, Snapshot, Tx, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most steps of one run, 4 GiB; what is left waits for the next, a second later.
const STEPS_MAX: u32 = 4096;

/// Time to remove pieces that no file has any more.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct RemovePieces {}

message!(RemovePieces => ());

/// The first value that is to be removed.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct FirstRemoval {}

message!(FirstRemoval => Option<u64>);

/// Removes some pieces of a value; answers whether there may be more.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct RemoveStep {
    value: u64,
}

message!(RemoveStep => bool);

pub(super) fn delete(tx: &Tx<'_>, m: DeleteFile) -> Outcome<DeleteFile> {
    let row = Row::of(tx, m.id)?;
    tx.run(rows::DELETED, [m.id])?;
    if row.received > 0 {
        tx.run(rows::REMOVING, [row.value])?;
    }
    Ok(())
}

pub(super) async fn remove_pieces(f: Flow, _: RemovePieces, turns: Turns) -> Outcome<RemovePieces> {
    for _ in 0..STEPS_MAX {
        let Some(value) = f.call(FirstRemoval {}).await? else { break };
        let turn = turns.take(f.caller().tenant()).await;
        f.call(RemoveStep { value }).await?;
        drop(turn);
    }
    Ok(())
}

pub(super) fn first_removal(s: &Snapshot<'_>, _: &FirstRemoval) -> Outcome<FirstRemoval> {
    Ok(s.one(rows::REMOVAL, [])?)
}

pub(super) fn remove_step(tx: &Tx<'_>, m: RemoveStep) -> Outcome<RemoveStep> {
    let more = PIECES.remove(tx.store(), m.value)?;
    if !more {
        tx.run(rows::REMOVAL_DONE, [m.value])?;
    }
    Ok(more)
}
