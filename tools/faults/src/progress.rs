//! How far a rig is, for whoever waits: a line on stderr about every half a minute.
//!
//! **Invariants**
//! - A rig that is done within half a minute says nothing.
//!
//! Never here: a thread or a timer. What is noted may make the line due; while nothing is done, nothing is said.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines.
const EACH: Duration = Duration::from_secs(30);

/// What a rig has done of what it has to do; shared by its threads.
#[derive(Debug)]
pub(crate) struct Progress {
    rig: &'static str,
    all: u64,
    began: Instant,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    done: u64,
    failed: u64,
    /// When the last line was said.
    said: Duration,
}

impl Progress {
    /// A rig that begins now, with so many things to do.
    pub(crate) fn new(rig: &'static str, all: u64) -> Progress {
        Progress { rig, all, began: Instant::now(), counts: Mutex::default() }
    }

    /// So many more are done, and held.
    pub(crate) fn passed(&self, n: u64) {
        self.note(n, 0);
    }

    /// One more is done, and did not hold.
    pub(crate) fn failed(&self) {
        self.note(1, 1);
    }

    fn note(&self, done: u64, failed: u64) {
        if let Some(line) = self.due(done, failed, self.began.elapsed()) {
            eprintln!("{line}");
        }
    }

    /// Counts, and answers the line where one is due.
    fn due(&self, done: u64, failed: u64, at: Duration) -> Option<String> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.done += done;
        counts.failed += failed;
        if counts.done == 0 || at < counts.said + EACH {
            return None;
        }
        counts.said = at;
        let (done, rate) = (counts.done, counts.done as f64 / at.as_secs_f64());
        let mut line = format!("{}: {done} of {} done, {} failed, {rate:.1}/s", self.rig, self.all, counts.failed);
        let left = self.all.saturating_sub(done) as f64 / rate;
        let (left, unit) = if left < 120.0 { (left, "s") } else { (left / 60.0, "min") };
        write!(line, ", {left:.0} {unit} left").expect("a String takes all");
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_each_half_a_minute_and_says_what_is_left() {
        let progress = Progress::new("points", 3_000);
        assert_eq!(progress.due(100, 0, Duration::from_secs(10)), None, "not yet");
        let line = progress.due(200, 0, Duration::from_secs(30));
        assert_eq!(line.as_deref(), Some("points: 300 of 3000 done, 0 failed, 10.0/s, 4 min left"), "270 s");
        assert_eq!(progress.due(1_500, 0, Duration::from_secs(59)), None, "said a moment ago");
        let line = progress.due(1, 1, Duration::from_secs(60));
        assert_eq!(line.as_deref(), Some("points: 1801 of 3000 done, 1 failed, 30.0/s, 40 s left"));
        assert_eq!(Progress::new("points", 9).due(0, 0, EACH), None, "a rate needs something done");
    }
}
