//! Histories that services left in the life of this process: what of them was archived is still asked for by number.
//!
//! A rewind gives a service another file, which goes on above the numbers of the one before. Who waits for a commit of before
//! waits in the history that it was made in.
//!
//! **Invariants**
//! - A commit that was left behind counts as archived where its own history had it, never because the next one is further.

use super::keeper::Keeper;
use super::pool::lock;
use super::wait::{Archived, Waits};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// Histories of a service that are remembered.
const REMEMBERED: usize = 16;

#[derive(Default)]
pub(super) struct Left(Mutex<BTreeMap<String, VecDeque<Ended>>>);

/// A history that ended.
struct Ended {
    last: u64,
    waits: Arc<Waits>,
}

impl Left {
    /// A service is about to leave its history.
    pub(super) fn note(&self, keeper: &Keeper) {
        let last = keeper.published.load(Ordering::Acquire).max(keeper.found.sequence);
        let mut all = lock(&self.0);
        let ended = all.entry(keeper.service.clone()).or_default();
        ended.push_back(Ended { last, waits: keeper.waits.clone() });
        if ended.len() > REMEMBERED {
            ended.pop_front();
        }
    }

    /// The wait for a commit in the history that had it; none where that is not known.
    pub(super) fn archived(&self, service: &str, sequence: u64) -> Option<Archived> {
        let all = lock(&self.0);
        let ended = all.get(service)?.iter().find(|ended| sequence <= ended.last)?;
        Some(Archived::new(ended.waits.clone(), sequence))
    }
}
