//! The store's own work in the slow lane: what nobody waits for.
//!
//! **Invariants**
//! - It is a tenant's of its own, so that reads of the system do not hold it back. Its bound is its sender's.

use super::lanes::{Task, enqueue};
use super::lengths::Length;
use crate::reply::{far_from_now, lock};
use crate::ticket::Tenant;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// For whom it is.
const CHORES: Tenant = Tenant(u64::MAX);

/// Hands work of the store itself to the slow lane; nobody waits for it. Its bound is its sender's.
pub(crate) fn chore(work: impl FnOnce() + Send + 'static) {
    let (work, deadline) = (Mutex::new(Some(work)), far_from_now(Duration::MAX));
    let chore = Chore { claimed: AtomicBool::new(false), work, deadline };
    let _ = enqueue(Arc::new(chore), isize::MAX as usize, usize::MAX);
}

struct Chore<F> {
    claimed: AtomicBool,
    work: Mutex<Option<F>>,
    deadline: Instant,
}

impl<F: FnOnce() + Send> Task for Chore<F> {
    fn tenant(&self) -> Tenant {
        CHORES
    }
    fn deadline(&self) -> Instant {
        self.deadline
    }
    fn key(&self) -> u64 {
        CHORES.0
    }
    fn claim(&self) -> bool {
        !self.claimed.swap(true, Relaxed)
    }
    fn is_claimed(&self) -> bool {
        self.claimed.load(Relaxed)
    }
    fn is_wanted(&self) -> bool {
        true
    }
    fn unclaim(&self) {}
    fn run(&self, _length: Length, _ended: &dyn Fn()) -> bool {
        let work = lock(&self.work).take();
        if let Some(work) = work {
            work();
        }
        false
    }
    fn expire(&self) {}
    fn discard(&self) {}
}
