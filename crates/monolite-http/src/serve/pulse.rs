//! The pulse: whether a connection makes progress, told without looking at a clock for each request.
//!
//! Counters are raised where something happens; a tick that comes a few times per waiting limit compares them.
//! All of it happens on the connection's own task, so the atomics are uncontended (they only make it `Sync`).
//!
//! **Invariants**
//! - Reading bytes of a request head is no progress: only a complete head is (a slow drip runs out of time).
//! - A connection whose handler or stream is at work is excused, unless its peer does not take what is written.
//! - A peer that takes an answer in drops is not making progress: while the answer waits for it, 64 KiB of it must be
//!   taken in each [`Limits::take_time`]. What the kernel holds for it counts as taken.

use super::heads::Heads;
use crate::config::Limits;
use monolite_service::PIECE_BYTES;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Ticks in the shorter waiting limit.
const TICKS: u32 = 4;

/// What the parts of a connection tell its tick.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    progress: AtomicU64,
    at_work: AtomicU32,
    stalled: AtomicBool,
    /// Bytes that the peer, or the kernel for it, has taken.
    taken: AtomicU64,
    /// Requests whose heads have come.
    requests: AtomicU64,
    /// The number of the one that says its length in two ways; 0 for none.
    ambiguous: AtomicU64,
}

/// Excuses a connection from progress while it lives.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Pulse>);

impl Pulse {
    /// The next request's head was read; true when it says its length in two ways.
    pub(super) fn is_next_ambiguous(&self) -> bool {
        self.requests.fetch_add(1, Relaxed) + 1 == self.ambiguous.load(Relaxed)
    }

    /// A complete request head has come: the handler starts.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.progress.fetch_add(1, Relaxed);
        self.at_work.fetch_add(1, Relaxed);
        Busy(self.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.progress.fetch_add(1, Relaxed);
        self.0.at_work.fetch_sub(1, Relaxed);
    }
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Nothing came of its next request.
    Idle,
    /// Its peer does not take its answer.
    Untaken,
}

/// Adds up the ticks without progress.
#[derive(Debug)]
pub(super) struct Tick {
    header_wait: Duration,
    take_time: Duration,
    seen: u64,
    idle: Duration,
    /// What was taken when the wait for the next 64 KiB began, and how long that wait is.
    taken: u64,
    waits: Duration,
}

impl Tick {
    pub(super) fn new(limits: &Limits) -> Self {
        let (header_wait, take_time) = (limits.header_wait, limits.take_time);
        Tick { header_wait, take_time, seen: 0, idle: Duration::ZERO, taken: 0, waits: Duration::ZERO }
    }

    /// From one look to the next.
    pub(super) fn step(&self) -> Duration {
        (self.header_wait.min(self.take_time) / TICKS).max(Duration::from_millis(1))
    }

    /// Called after each step; says when the connection has made no progress for a whole limit.
    pub(super) fn look(&mut self, pulse: &Pulse) -> Option<Over> {
        let (is_at_work, is_stalled) = (pulse.at_work.load(Relaxed) > 0, pulse.stalled.load(Relaxed));
        let (progress, taken) = (pulse.progress.load(Relaxed), pulse.taken.load(Relaxed));
        // Where nothing waits for it, the peer has all there was.
        if taken - self.taken >= PIECE_BYTES || !is_stalled {
            (self.taken, self.waits) = (taken, Duration::ZERO);
        } else {
            self.waits += self.step();
        }
        if progress != self.seen || is_at_work && !is_stalled {
            (self.seen, self.idle) = (progress, Duration::ZERO);
        } else {
            self.idle += self.step();
        }
        match is_stalled {
            // The first of the steps may have begun before the wait.
            true => (self.idle >= self.header_wait || self.waits > self.take_time).then_some(Over::Untaken),
            false => (self.idle >= self.header_wait).then_some(Over::Idle),
        }
    }
}

/// A stream that tells the pulse whether the peer takes what is written, and what its heads say.
pub(super) struct Felt<I> {
    pub(super) io: I,
    pub(super) pulse: Arc<Pulse>,
    pub(super) heads: Heads,
}

impl<I> Felt<I> {
    fn wrote(&self, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &wrote {
            Poll::Ready(taken) => {
                self.pulse.taken.fetch_add(taken.as_ref().map_or(0, |bytes| *bytes as u64), Relaxed);
                self.pulse.progress.fetch_add(1, Relaxed);
                self.pulse.stalled.store(false, Relaxed);
            }
            Poll::Pending => self.pulse.stalled.store(true, Relaxed),
        }
        wrote
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Felt<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let this = &mut *self;
        let read = Pin::new(&mut this.io).poll_read(cx, into);
        if let Some(number) = this.heads.see(&into.filled()[before..]) {
            this.pulse.ambiguous.store(number, Relaxed);
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Felt<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.wrote(wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick() -> Tick {
        let limits = Limits { take_time: Duration::from_secs(60), ..Limits::default() };
        Tick::new(&limits)
    }

    fn over_after(tick: &mut Tick, pulse: &Pulse) -> (u32, Over) {
        (1..100).find_map(|n| tick.look(pulse).map(|why| (n, why))).expect("an idle connection ends")
    }

    #[test]
    fn an_idle_connection_is_over_after_all_ticks_and_progress_starts_them_again() {
        let pulse = Arc::new(Pulse::default());
        assert_eq!(over_after(&mut tick(), &pulse), (TICKS, Over::Idle));
        drop(pulse.busy());
        let mut tick = tick();
        assert_eq!(tick.look(&pulse), None);
        assert_eq!(over_after(&mut tick, &pulse), (TICKS, Over::Idle));
    }

    #[test]
    fn work_excuses_but_not_a_peer_that_takes_nothing() {
        let (pulse, mut tick) = (Arc::new(Pulse::default()), tick());
        let _busy = pulse.busy();
        assert!((0..100).all(|_| tick.look(&pulse).is_none()));
        pulse.stalled.store(true, Relaxed);
        assert_eq!(over_after(&mut tick, &pulse), (TICKS, Over::Untaken));
    }

    #[test]
    fn drops_are_progress_only_where_they_fill_a_piece_in_time() {
        // Eight ticks are the time for a piece.
        for (taken_a_tick, ends) in [(1, Some(9)), (PIECE_BYTES / 10, Some(9)), (PIECE_BYTES / 8, None)] {
            let (pulse, mut tick) = (Arc::new(Pulse::default()), tick());
            let _busy = pulse.busy();
            pulse.stalled.store(true, Relaxed);
            let over = (1..200).find(|_| {
                pulse.taken.fetch_add(taken_a_tick, Relaxed);
                pulse.progress.fetch_add(1, Relaxed);
                tick.look(&pulse).inspect(|why| assert_eq!(*why, Over::Untaken)).is_some()
            });
            assert_eq!(over, ends, "{taken_a_tick} bytes a tick");
        }
    }

    #[test]
    fn a_wait_for_the_store_is_not_the_readers() {
        let (pulse, mut tick) = (Arc::new(Pulse::default()), tick());
        let _busy = pulse.busy();
        for n in 0..1000 {
            pulse.stalled.store(n % 5 == 0, Relaxed);
            pulse.taken.fetch_add(1, Relaxed);
            pulse.progress.fetch_add(1, Relaxed);
            assert_eq!(tick.look(&pulse), None);
        }
    }
}
