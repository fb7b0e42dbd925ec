//! The pulse: whether a connection makes progress, told without looking at a clock for each request.
//!
//! Counters are raised where something happens; a tick that comes a few times per waiting limit compares them.
//! All of it happens on the connection's own task, so the atomics are uncontended (they only make it `Sync`).
//!
//! **Invariants**
//! - Reading bytes of a request head is no progress: only a complete head is (a slow drip runs out of time).
//! - A connection whose handler or stream is at work is excused, unless its peer does not take what is written.

use super::heads::Heads;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Ticks in one waiting limit.
pub(super) const TICKS: u32 = 4;

/// What the parts of a connection tell its tick.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    progress: AtomicU64,
    at_work: AtomicU32,
    stalled: AtomicBool,
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

/// Counts the ticks without progress.
#[derive(Debug, Default)]
pub(super) struct Tick {
    seen: u64,
    idle: u32,
}

impl Tick {
    /// Called a few times per waiting limit; true when the connection has been idle for the whole limit.
    pub(super) fn is_over(&mut self, pulse: &Pulse) -> bool {
        let progress = pulse.progress.load(Relaxed);
        let excused = pulse.at_work.load(Relaxed) > 0 && !pulse.stalled.load(Relaxed);
        if progress != self.seen || excused {
            *self = Tick { seen: progress, idle: 0 };
            return false;
        }
        self.idle += 1;
        self.idle >= TICKS
    }
}

/// A stream that tells the pulse whether the peer takes what is written, and what its heads say.
pub(super) struct Felt<I> {
    pub(super) io: I,
    pub(super) pulse: Arc<Pulse>,
    pub(super) heads: Heads,
}

impl<I> Felt<I> {
    fn wrote<T>(&self, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match wrote {
            Poll::Ready(_) => {
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

    fn over_after(tick: &mut Tick, pulse: &Pulse) -> u32 {
        (1..100).find(|_| tick.is_over(pulse)).expect("an idle connection ends")
    }

    #[test]
    fn an_idle_connection_is_over_after_all_ticks_and_progress_starts_them_again() {
        let (pulse, mut tick) = (Arc::new(Pulse::default()), Tick::default());
        assert_eq!(over_after(&mut tick, &pulse), TICKS);
        drop(pulse.busy());
        let mut tick = Tick::default();
        assert!(!tick.is_over(&pulse));
        assert_eq!(over_after(&mut tick, &pulse), TICKS);
    }

    #[test]
    fn work_excuses_but_not_a_peer_that_takes_nothing() {
        let (pulse, mut tick) = (Arc::new(Pulse::default()), Tick::default());
        let _busy = pulse.busy();
        assert!((0..100).all(|_| !tick.is_over(&pulse)));
        pulse.stalled.store(true, Relaxed);
        assert_eq!(over_after(&mut tick, &pulse), TICKS);
    }
}
