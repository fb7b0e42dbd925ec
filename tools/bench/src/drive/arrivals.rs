//! The open loop's requests that are due: made by the clock, taken by whichever connection is free.
//!
//! **Invariants**
//! - When a request is due depends on the rate and on nothing else.
//! - The queue is bounded: a side that is so far behind that it is full ends the run.

use anyhow::bail;
use rustix::time::Timespec;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Most requests that are due and wait for a connection.
const WAITING_MAX: usize = 200_000;

/// The queue.
pub(super) struct Arrivals {
    due: Mutex<VecDeque<Option<Instant>>>,
    waiting: Semaphore,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Arrivals { due: Mutex::default(), waiting: Semaphore::new(0) }
    }

    /// Makes requests due at a rate for a time, and then each connection's end. Blocks its thread.
    pub(super) fn make(&self, rate: f64, time: Duration, connections: usize) -> anyhow::Result<()> {
        let begin = Instant::now();
        for n in 0..(rate * time.as_secs_f64()) as u64 {
            let due = begin + Duration::from_secs_f64(n as f64 / rate);
            wait_until(due);
            if self.put(Some(due)) > WAITING_MAX {
                bail!("{rate:.0} requests a second were due and {WAITING_MAX} wait: the rate is too high");
            }
        }
        for _ in 0..connections {
            self.put(None);
        }
        Ok(())
    }

    /// The next one due, or the end.
    pub(super) async fn take(&self) -> Option<Instant> {
        self.waiting.acquire().await.expect("it is never closed").forget();
        self.due.lock().expect("no holder panics").pop_front().expect("there is one for each permit")
    }

    fn put(&self, due: Option<Instant>) -> usize {
        let mut queue = self.due.lock().expect("no holder panics");
        queue.push_back(due);
        self.waiting.add_permits(1);
        queue.len()
    }
}

/// Waits on this thread until a time: the runtime's timers count in milliseconds, which is longer than most answers take.
fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        // Ends early on a signal, and is then asked for what is left.
        let time = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let _ = rustix::thread::nanosleep(&time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_stalls_finds_all_that_became_due_meanwhile_with_its_age() {
        let arrivals = Arrivals::new();
        arrivals.make(1000.0, Duration::from_millis(50), 1).expect("the queue has room");
        let now = Instant::now();
        let mut ages = Vec::new();
        while let Some(due) = arrivals.take().await {
            ages.push(now - due);
        }
        assert_eq!(ages.len(), 50);
        assert!(ages.windows(2).all(|w| w[0] - w[1] == Duration::from_millis(1)), "{ages:?}");
    }
}
