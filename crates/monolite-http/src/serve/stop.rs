//! The stop: how a server is told to drain, and then to stop at once.
//!
//! **Invariants**
//! - The phase only moves forward: serving, draining, now.
//! - Telling costs nothing when nobody listens, and may be repeated.
//!
//! Never here: a wait of its own; the accept loop bounds the drain.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicU8,
    Ordering::{Acquire, Release},
};
use tokio::sync::watch;

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Connections are accepted.
    Serving,
    /// No connection is accepted; requests in flight are finished.
    Draining,
    /// Everything is dropped.
    Now,
}

/// A handle that stops servers; clones stop the same ones.
#[derive(Debug, Clone)]
pub struct Stop(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    phase: watch::Sender<Phase>,
    /// The same once more, to be looked at on every poll of a connection without a lock.
    glance: AtomicU8,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// A handle in the phase [`Phase::Serving`].
    pub fn new() -> Self {
        Stop(Arc::new(Inner { phase: watch::Sender::new(Phase::Serving), glance: AtomicU8::new(0) }))
    }

    /// A handle that drains when the first future ends and stops at once when the second does.
    /// Both are polled on a task of the current runtime.
    pub fn when<A, B>(drain: A, now: B) -> Self
    where
        A: Future<Output = ()> + Send + 'static,
        B: Future<Output = ()> + Send + 'static,
    {
        let stop = Self::new();
        let told = stop.clone();
        tokio::spawn(async move {
            drain.await;
            told.drain();
            now.await;
            told.now();
        });
        stop
    }

    /// A handle driven by the process's signals: the first SIGTERM or SIGINT drains, the second stops now.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn on_signals() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = Self::new();
        let told = stop.clone();
        tokio::spawn(async move {
            for phase in [Phase::Draining, Phase::Now] {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                told.raise(phase);
            }
        });
        Ok(stop)
    }

    /// Stop accepting and finish what is in flight.
    pub fn drain(&self) {
        self.raise(Phase::Draining);
    }

    /// Drop everything.
    pub fn now(&self) {
        self.raise(Phase::Now);
    }

    /// The phase at this moment.
    pub fn phase(&self) -> Phase {
        match self.0.glance.load(Acquire) {
            0 => Phase::Serving,
            1 => Phase::Draining,
            _ => Phase::Now,
        }
    }

    /// Ends when the phase is reached.
    pub async fn reached(&self, phase: Phase) {
        let mut seen = self.0.phase.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = seen.wait_for(|at| *at >= phase).await;
    }

    fn raise(&self, phase: Phase) {
        self.0.phase.send_if_modified(|at| {
            let forward = *at < phase;
            if forward {
                *at = phase;
                self.0.glance.store(phase as u8, Release);
            }
            forward
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_never_moves_back() {
        let stop = Stop::new();
        stop.now();
        stop.drain();
        assert_eq!(stop.phase(), Phase::Now);
    }
}
