//! What an archiver says of each store.

use super::verifying::Verification;
use std::time::{Duration, Instant};

/// How a store's archive stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The place has not answered yet what it has.
    Opening,
    /// Commits are captured.
    Keeping,
    /// The place does not take anything: commits are spooled.
    Spooling,
    /// A bound is reached: writes are refused.
    Refusing,
    /// A bound is reached: commits are dropped until the place answers, then a new base is made.
    Dropping,
    /// Nothing is archived any more, for this reason.
    Stopped(String),
    /// The store has ended.
    Ended,
}

/// The gauges of one store's archive.
#[derive(Debug, Clone)]
pub struct Status {
    /// The service.
    pub service: String,
    /// How it stands.
    pub state: State,
    /// The store's last commit.
    pub published: u64,
    /// The last commit that is in the place or in the spool.
    pub captured: u64,
    /// The last commit whose frames the store's WAL is not needed for any more; 0 before the first look.
    pub released: u64,
    /// The last commit that is in the place.
    pub archived: u64,
    /// How long ago the first commit was made that is not in the place; zero where all are.
    pub lag: Duration,
    /// Futures that wait for a commit to be in the place.
    pub waiting: usize,
    /// Segments and bytes in the spool.
    pub spooled: (usize, u64),
    /// When a segment was put last, and when a base, in unix milliseconds.
    pub last_put_ms: Option<i64>,
    /// The commit of the newest base.
    pub last_base: Option<u64>,
    /// When that was made by this process, in unix milliseconds.
    pub last_base_ms: Option<i64>,
    /// Pages read of a base copy on its way, and pages in all.
    pub copying: Option<(u32, u32)>,
    /// Segments in the place, and their bytes.
    pub segments: (usize, u64),
    /// What is known of it by proof.
    pub verification: Verification,
    /// Proofs that this process tried.
    pub proofs: u64,
    /// Times that commits were missing and a new base was needed.
    pub gaps: u64,
    /// Failures since the start.
    pub errors: u64,
    /// The last of them.
    pub last_error: Option<String>,
}

/// What changes while a store is kept.
#[derive(Debug)]
pub(super) struct Notes {
    pub(super) state: State,
    pub(super) published: u64,
    pub(super) captured: u64,
    pub(super) released: u64,
    pub(super) archived: u64,
    /// When the first commit was made that is not in the place.
    pub(super) since: Option<Instant>,
    pub(super) last_put_ms: Option<i64>,
    pub(super) last_base_ms: Option<i64>,
    pub(super) copying: Option<(u32, u32)>,
    pub(super) verification: Verification,
    pub(super) proofs: u64,
    pub(super) gaps: u64,
    pub(super) errors: u64,
    pub(super) last_error: Option<String>,
}

impl Default for Notes {
    fn default() -> Self {
        Notes {
            state: State::Opening,
            published: 0,
            captured: 0,
            released: 0,
            archived: 0,
            since: None,
            last_put_ms: None,
            last_base_ms: None,
            copying: None,
            verification: Verification::default(),
            proofs: 0,
            gaps: 0,
            errors: 0,
            last_error: None,
        }
    }
}
