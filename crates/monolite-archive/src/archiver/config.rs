//! How an archiver works: its times, its bounds, what it does at them.
//!
//! **Invariants**
//! - Every queue, wait and room of the archiver has its bound here.

use super::verifying::Verification;
use crate::Result;
use crate::retain::Keep;
use crate::room::Room;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is done where commits can be kept nowhere any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtBound {
    /// Writes are refused until there is room again: nothing that was acknowledged is missing from the archive.
    Refuse,
    /// What waits is dropped, and a new base is made once the place answers: the service goes on, its history has a gap.
    Rebase,
}

/// The moment, in unix milliseconds.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Asked with a service's name; while it fails, nothing of that service is deleted.
pub type Pinned = Arc<dyn Fn(&str) -> Result<Vec<u64>> + Send + Sync>;

/// Told with a service's name what a proof of its archive came to; on the thread that proves, so it only makes a note.
pub type Heard = Arc<dyn Fn(&str, &Verification) + Send + Sync>;

/// Told of a service what its operator should know: commits are missing, or a history begins anew.
pub type Tell = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// The limits of an archiver.
#[derive(Clone)]
pub struct Config {
    /// How long after the first commit that was not captured the next segment is made.
    pub interval: Duration,
    /// Commits beyond this many bytes of frames make another segment.
    pub segment_bytes: u64,
    /// Threads that capture, of all stores.
    pub capturers: usize,
    /// Threads that carry what was spooled to the place.
    pub uploaders: usize,
    /// Most bytes of one store's spool (or of its WAL, while the archive's state is not known).
    pub spool_bytes_max: u64,
    /// The greatest age of what waits there.
    pub spool_age_max: Duration,
    /// What is done beyond these two.
    pub at_bound: AtBound,
    /// Bytes of pages that a base copy reads in a second.
    pub base_bytes_per_second: u64,
    /// How often segments are merged into those of level 1, 2, and so on.
    pub levels: Vec<Duration>,
    /// What is promised to stay restorable.
    pub keep: Keep,
    /// Commits of a service that stay restorable beside that: marks and cuts.
    pub pinned: Option<Pinned>,
    /// Hears what operators should know.
    pub tell: Option<Tell>,
    /// A new base is made where what follows the last one has more than this part of its bytes, in percent.
    pub base_percent: u64,
    /// And more than this many bytes.
    pub base_bytes_min: u64,
    /// Waits between two tries of a place that fails: the first and the longest.
    pub retry: (Duration, Duration),
    /// How often each store's archive is proven: restored, checked and compared with the file. Zero: never.
    pub verify_every: Duration,
    /// How long after the start the first of them is, at most so late.
    pub verify_first: Duration,
    /// Bytes that proving reads in a second.
    pub verify_bytes_per_second: u64,
    /// What proving leaves of the disk: it restores beside the stores, whose WALs and spools grow meanwhile.
    pub verify_room: Room,
    /// Who is told what it came to.
    pub verified: Option<Heard>,
    /// The clock of segments' moments.
    pub now: Now,
}

impl Default for Config {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        const DAY_MS: i64 = 24 * 3_600_000;
        let mut merged_ms = [30 * DAY_MS; 9];
        merged_ms[..3].copy_from_slice(&[5 * 60_000, DAY_MS, 7 * DAY_MS]);
        Config {
            interval: Duration::from_millis(500),
            segment_bytes: 16 << 20,
            capturers: 2,
            uploaders: 4,
            spool_bytes_max: 1 << 30,
            spool_age_max: 24 * 60 * MINUTE,
            at_bound: AtBound::Refuse,
            base_bytes_per_second: 64 << 20,
            levels: vec![Duration::from_secs(30), 5 * MINUTE, 60 * MINUTE],
            keep: Keep { age_ms: 30 * DAY_MS, bases: 2, merged_ms },
            pinned: None,
            tell: None,
            base_percent: 50,
            base_bytes_min: 1 << 20,
            retry: (Duration::from_millis(250), Duration::from_secs(30)),
            verify_every: Duration::from_secs(24 * 3600),
            verify_first: 5 * MINUTE,
            verify_bytes_per_second: 32 << 20,
            verify_room: Room::beside_stores(2 << 30),
            verified: None,
            now: Arc::new(unix_ms),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("interval", &self.interval)
            .field("at_bound", &self.at_bound)
            .finish_non_exhaustive()
    }
}

#[expect(clippy::disallowed_methods, reason = "the default of the one clock that this crate has")]
fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
