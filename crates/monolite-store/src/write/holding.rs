//! Who holds the writer, told by the writer with a few plain stores for each write.
//!
//! A version that is odd while the fields change lets others read them without a lock (a seqlock with one author).
//!
//! **Invariants**
//! - Only the writer's thread calls `set` and `clear`; neither waits nor allocates.
//! - A label's two halves are used together only when the version says that they belong together.

#![allow(unsafe_code)]

use crate::sqlite::watch::{instant_at_ns, since_start_ns};
use crate::status::Holder;
use crate::ticket::{Tenant, Ticket};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, fence};
use std::time::Instant;

/// Looks at a holder that keeps changing, before giving up.
const LOOKS_MAX: usize = 4096;

/// The holder of one store's writer.
pub(crate) struct Holding {
    /// Odd while the fields change; also the number of the hold.
    version: AtomicU64,
    /// 0 means nobody.
    since_ns: AtomicU64,
    label: AtomicPtr<u8>,
    label_bytes: AtomicUsize,
    tenant: AtomicU64,
    trace_high: AtomicU64,
    trace_low: AtomicU64,
}

impl Holding {
    pub(crate) fn new() -> Self {
        let empty = "";
        Holding {
            version: AtomicU64::new(0),
            since_ns: AtomicU64::new(0),
            label: AtomicPtr::new(empty.as_ptr().cast_mut()),
            label_bytes: AtomicUsize::new(empty.len()),
            tenant: AtomicU64::new(0),
            trace_high: AtomicU64::new(0),
            trace_low: AtomicU64::new(0),
        }
    }

    /// From now on this write holds the writer.
    #[inline]
    pub(crate) fn set(&self, ticket: &Ticket, since: Instant) {
        let version = self.begin();
        self.since_ns.store(since_start_ns(since).max(1), Relaxed);
        self.label.store(ticket.label.as_ptr().cast_mut(), Relaxed);
        self.label_bytes.store(ticket.label.len(), Relaxed);
        self.tenant.store(ticket.tenant.0, Relaxed);
        self.trace_high.store((ticket.trace >> 64) as u64, Relaxed);
        self.trace_low.store(ticket.trace as u64, Relaxed);
        self.version.store(version, Release);
    }

    /// From now on nobody holds it.
    #[inline]
    pub(crate) fn clear(&self) {
        let version = self.begin();
        self.since_ns.store(0, Relaxed);
        self.version.store(version, Release);
    }

    /// Who holds it, and the number of the hold.
    pub(crate) fn look(&self) -> Option<(Holder, u64)> {
        for _ in 0..LOOKS_MAX {
            let version = self.version.load(Acquire);
            let since_ns = self.since_ns.load(Relaxed);
            let (label, bytes) = (self.label.load(Relaxed), self.label_bytes.load(Relaxed));
            let tenant = Tenant(self.tenant.load(Relaxed));
            let trace = u128::from(self.trace_high.load(Relaxed)) << 64 | u128::from(self.trace_low.load(Relaxed));
            fence(Acquire);
            if version % 2 == 1 || self.version.load(Relaxed) != version {
                std::hint::spin_loop();
                continue;
            }
            if since_ns == 0 {
                return None;
            }
            // SAFETY: the version did not change, so both halves were stored by one `new` or `set` from one
            // `&'static str`.
            let label = unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(label, bytes)) };
            let holder = Holder { label, tenant, trace, since: instant_at_ns(since_ns), statement: None };
            return Some((holder, version));
        }
        None
    }

    fn begin(&self) -> u64 {
        let version = self.version.load(Relaxed);
        self.version.store(version + 1, Relaxed);
        fence(Release);
        version + 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_holder_is_told_whole_or_not_at_all() {
        let holding = Holding::new();
        assert!(holding.look().is_none());
        let labels = ["a", "quite another label"];
        let end = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..200_000_usize {
                    let label = labels[n % 2];
                    let (tenant, trace) =
                        (Tenant(label.len() as u64), (label.len() as u128) << 64 | label.len() as u128);
                    holding.set(&Ticket { tenant, trace, ..Ticket::label(label) }, Instant::now());
                }
                end.store(true, Relaxed);
            });
            while !end.load(Relaxed) {
                if let Some((told, _)) = holding.look() {
                    let bytes = told.label.len();
                    assert!(labels.contains(&told.label));
                    assert_eq!(
                        (told.tenant, told.trace),
                        (Tenant(bytes as u64), (bytes as u128) << 64 | bytes as u128)
                    );
                }
            }
        });
        assert!(holding.look().is_some());
        holding.clear();
        assert!(holding.look().is_none());
    }
}
