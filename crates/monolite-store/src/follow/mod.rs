//! Following a store: every commit's pages in order, read from the WAL before it may start over.
//!
//! The store knows nothing of what its follower does with them. It knows one thing: while it is followed, the WAL is
//! started over only when every frame in it was released. Measured and reasoned in docs/adr/0019.
//!
//! **Invariants**
//! - The WAL says by itself what it holds: each commit carries its number in the store's own row. So a follower that
//!   comes after a kill begins at the WAL's beginning and knows which commits it sees.
//! - Nothing is handed out that was not published, so synced. A commit that is missing is a [`Gap`], never silence.
//! - A commit pays one load for it; the writer waits for a follower only where a WAL is due to start over, or where it is
//!   later than it said, and bounded (`pace`).
//!
//! Never here: an archive, files of its own, the database file (whose locks would drop).

mod batch;
mod bell;
mod follower;
mod frames;
mod gap;
pub(crate) mod gate;
mod gathered;
mod moments;
pub(crate) mod pace;
mod pages;
pub(crate) mod row;

pub use batch::Batch;
pub use follower::{Follower, Found, Urgency};
pub use gap::{Gap, Missed, Why};
pub use pages::{PAGES_MAX, PageReader, Seen as PagesSeen};

use crate::error::{Error, Kind, Result};
use crate::reply::lock;
use crate::store::{Shared, Store};
use bell::Bell;
use gate::Gate;
use moments::Moments;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// How long the end of a store waits for its follower to take what is left.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Openings of this process so far.
static OPENINGS: AtomicU64 = AtomicU64::new(0);

/// A store's part of it.
pub(crate) struct Following {
    pub(crate) gate: Arc<Gate>,
    bell: Bell,
    /// A WAL is due to start over, or the store ends: the follower should not wait for more.
    urgent: AtomicBool,
    closing: AtomicBool,
    /// The store has ended: the WAL may be another program's.
    ended: AtomicBool,
    taken: AtomicBool,
    refuses: AtomicBool,
    why: Mutex<String>,
    found: Found,
    moments: Moments,
    /// Which opening of this process it is.
    opening: u64,
    /// The least writer epoch of the commits to come; 0 until a follower asks for one.
    epoch_least: AtomicI64,
    /// From which age of the oldest unreleased commit on the writer slows down, in milliseconds; 0: never.
    late_ms: AtomicU64,
    /// The database file as it was opened.
    inode: Option<(u64, u64)>,
}

impl Following {
    /// `written`: when the last commit that was found was made, where that is known.
    pub(crate) fn new(path: &Path, gate: Arc<Gate>, found: Found, written: Option<SystemTime>) -> Following {
        let inode = crate::place::inode(path).ok().flatten();
        Following {
            gate,
            bell: Bell::default(),
            urgent: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            taken: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            why: Mutex::new(String::new()),
            found,
            moments: Moments::new(found.sequence, written),
            opening: OPENINGS.fetch_add(1, Ordering::Relaxed),
            epoch_least: AtomicI64::new(0),
            late_ms: AtomicU64::new(0),
            inode,
        }
    }

    /// What the store found when it opened the file.
    pub(crate) fn found(&self) -> Found {
        self.found
    }

    /// Which opening of this process it is.
    pub(crate) fn opening(&self) -> u64 {
        self.opening
    }

    /// The follower looks at once.
    pub(crate) fn tell(&self) {
        self.urgent.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// The last commit when the store was opened.
    pub(crate) fn sequence_found(&self) -> u64 {
        self.found.sequence
    }

    /// The writer epoch of the next commit, where the writer's own is this one.
    #[inline]
    pub(crate) fn epoch(&self, own: i64) -> i64 {
        own.max(self.epoch_least.load(Ordering::Relaxed))
    }

    /// A commit was published; it was made then.
    #[inline]
    pub(crate) fn committed(&self, sequence: u64, at: Instant) {
        if self.gate.is_held() {
            self.moments.committed(sequence, at);
        }
        self.bell.committed();
    }

    /// How writes are refused while the follower can take no more.
    #[inline]
    pub(crate) fn refusal(&self) -> Option<Error> {
        if !self.refuses.load(Ordering::Relaxed) {
            return None;
        }
        Some(Error::new(Kind::Full, lock(&self.why).clone()))
    }

    /// A WAL is due to start over: the follower is asked not to wait for more.
    pub(crate) fn urge(&self) {
        if self.gate.is_held() && !self.urgent.swap(true, Ordering::AcqRel) {
            self.bell.ring();
        }
    }

    /// The WAL was started over.
    pub(crate) fn calm(&self) {
        self.urgent.store(false, Ordering::Release);
    }

    /// Waits until the follower has released this commit; answers whether it has.
    pub(crate) fn wait_for(&self, sequence: u64, most: Duration) -> bool {
        self.gate.wait_for(|released| released.sequence >= sequence, Instant::now() + most)
    }

    /// Whether somebody follows.
    fn is_followed(&self) -> bool {
        self.gate.is_held() && self.taken.load(Ordering::Acquire)
    }

    /// Whether its follower named an age from which on the writer slows down.
    pub(crate) fn is_paced(&self) -> bool {
        self.late_ms.load(Ordering::Relaxed) != 0
    }

    /// Whether there is a follower that has not released this commit.
    pub(crate) fn is_behind(&self, sequence: u64) -> bool {
        self.is_followed() && self.gate.sequence() < sequence
    }

    /// Whether there is a follower to wait for, and it has released more than this since; answers how far it is.
    pub(crate) fn goes_on_from(&self, released: u64) -> (bool, u64) {
        let now = self.gate.sequence();
        (self.is_followed() && now > released, now)
    }

    /// The store ends: the follower may take what is left.
    pub(crate) fn close(&self, sequence: u64) {
        self.closing.store(true, Ordering::Release);
        self.urgent.store(true, Ordering::Release);
        self.bell.ring();
        if self.taken.load(Ordering::Acquire) {
            self.wait_for(sequence, CLOSE_WAIT);
        }
    }

    /// The store has ended.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.closing.store(true, Ordering::Release);
        self.bell.ring();
    }
}

impl Store {
    /// Follows the store's commits. At most one follower at a time; while it lives, and with `Config::followed` for the
    /// store's whole life, the WAL is not started over above a frame that it has not released.
    ///
    /// # Errors
    /// [`Kind::Busy`] where the store is followed already, [`Kind::Closed`].
    pub fn follow(&self) -> Result<Follower> {
        Follower::new(self.shared().clone())
    }

    /// The file's line of commits: made with the file, the same in every copy of it.
    pub fn history(&self) -> [u8; 16] {
        self.shared().following.found.history
    }
}

impl Shared {
    /// Whether the file that the store opened still lies under its name.
    fn is_in_place(&self) -> Result<bool> {
        Ok(!self.standing.is_quarantined() && self.following.inode == crate::place::inode(&self.path)?)
    }
}
