//! The protocol of a cut: open, look, open again what is behind; at last with the writers paused.
//!
//! **Invariants**
//! - Every look comes after every opening, so that one moment lies between them.
//! - Tries are bounded, and so is each wait of the fallback.

use super::Taking;
use super::pause::{self, Pause};
use crate::error::{Error, Kind, Result};
use crate::planted::planted;
use crate::store::Shared;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

/// Tries without stopping anybody.
const TRIES: u32 = 32;
/// Tries with the writers paused.
const PAUSED_TRIES: u32 = 8;

/// Snapshots that can be opened, and opened again.
pub(super) trait Snapshots {
    /// Opens those at these places at the newest state, each after raising its epoch to what it sees, and puts down their
    /// sequences. It may open others too.
    fn open(&mut self, stale: &[usize], sequences: &mut [u64]) -> Result<()>;
}

/// Opens snapshots of these stores until they are of one moment; answers their sequences.
pub(super) fn agree(stores: &[&Arc<Shared>], snapshots: &mut dyn Snapshots) -> Result<(Vec<u64>, Taking)> {
    let mut stale: Vec<usize> = (0..stores.len()).collect();
    let mut sequences = vec![0; stores.len()];
    for retries in 0..TRIES {
        if try_once(stores, snapshots, &mut stale, &mut sequences)? {
            return Ok((sequences, Taking { retries, paused: false }));
        }
    }
    let _turn = pause::Turn::take()?;
    for tried in 0..PAUSED_TRIES {
        let paused = Pause::of(stores);
        paused.wait_for_all();
        if try_once(stores, snapshots, &mut stale, &mut sequences)? {
            return Ok((sequences, Taking { retries: TRIES + tried, paused: true }));
        }
    }
    let text = "no moment was found at which all files stood still; nothing was done, try again";
    Err(Error::new(Kind::Overloaded, text).with_retry_after(Duration::from_secs(1)))
}

/// One try; afterwards `stale` has the places that a commit has passed.
fn try_once(
    stores: &[&Arc<Shared>],
    snapshots: &mut dyn Snapshots,
    stale: &mut Vec<usize>,
    sequences: &mut [u64],
) -> Result<bool> {
    snapshots.open(stale, sequences)?;
    if planted!("cut_not_validated") {
        return Ok(true);
    }
    fence(Ordering::SeqCst);
    stale.clear();
    stale.extend((0..stores.len()).filter(|&place| stores[place].epoch.load(Ordering::SeqCst) != sequences[place]));
    Ok(stale.is_empty())
}
