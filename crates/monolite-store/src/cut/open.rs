//! The cuts that are open on a store: how many, what they hold, and their end where they hold it for too long.
//!
//! **Invariants**
//! - At most `Config::cuts_max` hold a snapshot of one store.
//! - The writer looks at them after each group while there are any, so that it needs nobody's help to have its WAL back.
//!   Without writes an old snapshot costs nothing, and stays.

use super::held::Ended;
use crate::error::Result;
use crate::fair::Refused;
use crate::read::Reader;
use crate::reply::lock;
use crate::sqlite::connection::Opener;
use crate::store::Shared;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Connections kept for the next cuts.
const IDLE_CONNECTIONS: usize = 4;

/// A snapshot that outlives one read.
pub(crate) trait Pinned: Send + Sync {
    /// When it is too old.
    fn expires(&self) -> Option<Instant>;
    /// Ends it, at once where it is not in use, else its run; can be called again.
    fn end(&self, why: Ended);
}

/// The cuts of a store.
pub(crate) struct OpenCuts {
    opener: Arc<Opener>,
    most: usize,
    open: AtomicUsize,
    pinned: Mutex<Vec<Arc<dyn Pinned>>>,
    idle: Mutex<Vec<Reader>>,
}

impl OpenCuts {
    pub(crate) fn new(opener: Arc<Opener>, most: usize) -> Self {
        OpenCuts { opener, most, open: AtomicUsize::new(0), pinned: Mutex::default(), idle: Mutex::default() }
    }

    /// Cuts that are open.
    pub(crate) fn count(&self) -> usize {
        self.open.load(SeqCst)
    }

    /// A connection for a cut.
    pub(super) fn reader(&self) -> Result<Reader> {
        match lock(&self.idle).pop() {
            Some(reader) => Ok(reader),
            None => Reader::open(&self.opener),
        }
    }

    /// Keeps a connection without a snapshot for the next cut.
    pub(super) fn put_back(&self, reader: Reader) {
        if reader.has_large_cache() {
            return; // a commit makes it worthless, and slow
        }
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(reader);
        }
    }

    pub(super) fn enlist(&self, pinned: Arc<dyn Pinned>) {
        lock(&self.pinned).push(pinned);
    }

    pub(super) fn dismiss<T: Pinned>(&self, pinned: &Arc<T>) {
        lock(&self.pinned).retain(|p| !std::ptr::addr_eq(Arc::as_ptr(p), Arc::as_ptr(pinned)));
    }

    /// The writer's look after a group.
    #[inline]
    pub(crate) fn look(&self, wal_is_too_large: bool) {
        if self.count() > 0 {
            self.end_old(wal_is_too_large);
        }
    }

    #[cold]
    fn end_old(&self, wal_is_too_large: bool) {
        let now = Instant::now();
        let old: Vec<_> = {
            let pinned = lock(&self.pinned);
            let is_old = |p: &&Arc<dyn Pinned>| wal_is_too_large || p.expires().is_some_and(|end| end <= now);
            pinned.iter().filter(is_old).cloned().collect()
        };
        let why = if wal_is_too_large { Ended::WalTooLarge } else { Ended::TooOld };
        old.iter().for_each(|p| p.end(why));
    }

    /// Ends all, and closes the connections that wait for the next: the store's end.
    pub(crate) fn close(&self) {
        let all = std::mem::take(&mut *lock(&self.pinned));
        all.iter().for_each(|p| p.end(Ended::Closed));
        lock(&self.idle).clear();
    }
}

/// The right to one more cut of a store.
pub(super) struct Permit(Arc<Shared>);

impl Permit {
    pub(super) fn of(shared: &Arc<Shared>) -> Result<Permit> {
        let cuts = &shared.cuts;
        if cuts.open.fetch_add(1, SeqCst) >= cuts.most {
            cuts.open.fetch_sub(1, SeqCst);
            return Err(shared.overloaded("open cuts", Refused { own_fault: false }));
        }
        Ok(Permit(shared.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.cuts.open.fetch_sub(1, SeqCst);
    }
}
