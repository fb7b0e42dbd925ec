//! Unfinished files that nobody goes on with.

use super::{Config, rows};
use crate::contract::FileId;
use monolite_service::{Outcome, Tx, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most files that go at once.
const BATCH_MAX: u32 = 64;

/// Time to look for unfinished files whose time is over.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct ExpireUploads {}

message!(ExpireUploads => ());

pub(super) fn expire(tx: &Tx<'_>, _: ExpireUploads, config: &Config) -> Outcome<ExpireUploads> {
    let over: Vec<(FileId, u64)> = tx.all(rows::UNTOUCHED_SINCE, (config.untouched_since(tx.now()), BATCH_MAX))?;
    for (id, value) in over {
        tx.run(rows::DELETED, [id])?;
        tx.run(rows::REMOVING, [value])?;
    }
    Ok(())
}
