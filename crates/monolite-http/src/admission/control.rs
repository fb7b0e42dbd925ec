//! The controller: how many changes of one service may be under way, from how long they wait and how long commits take.
//!
//! What waits in a queue is rate times wait (Little's law): so beyond the wanted wait the limit goes straight to what
//! the writer can get through in that time, and below it, where the limit was reached, it grows by a quarter.
//!
//! What a writer *can* get through is not what it got through: with small groups it is busy all the time, with commits,
//! and would take ten times as many writes for a little more. So the rate is that of full groups, from what a write and a
//! commit take. Where writes wait too long round after round, something else takes time too: then the rate is taken down by
//! the time that went into neither, and comes back slowly.
//! What is under way is looked at beside the waits that were seen: those tell of a queue
//! only when it has been worked off. The wanted wait follows the disk: some commits long, so that groups stay full
//! whatever a sync costs.
//!
//! **Invariants**
//! - The limit stays within its floor and ceiling, whatever is measured.
//! - It shrinks only where writes waited too long or will, and grows only where it stood in the way.
//! - Pure: no clock, no lock, nothing random.

use monolite_service::GroupMax;
use std::time::Duration;

/// The wanted wait in commits: full groups need a few of them waiting.
const COMMITS: u32 = 8;
/// The longest wanted wait, however slow the disk is: who waits longer is better told to come back.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Least changes under way, so that groups can form at all.
const FLOOR: f64 = 8.0;
/// By how much the limit may shrink and grow in one round.
const SHRINK: f64 = 0.5;
const GROW: f64 = 1.25;
/// The part of its time from which on a writer counts as busy.
const BUSY: f64 = 0.8;
/// The part of the limit from which on it counts as reached.
const REACHED: f64 = 0.9;
/// Rounds in a row in which writes waited too long, from which on the time that writes and commits had counts.
const LATE_ROUNDS: u32 = 4;
/// The least part of the rate of full groups that is left of it, and by how much it comes back in one round.
const TRUST_MIN: f64 = 0.1;
const TRUST_GROW: f64 = 1.03;
/// A round is at least so long, and at least so many commits.
pub(super) const ROUND_MIN: Duration = Duration::from_millis(50);
const ROUND_COMMITS: u32 = 2;

/// How long a refusal is held back for each refusal a second, and at most.
const PAUSE_EACH: Duration = Duration::from_micros(10);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// What happened in one round.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Round {
    pub(super) took: Duration,
    /// Writes that left the queue, and their waits together.
    pub(super) writes: u64,
    pub(super) waited: Duration,
    /// The time for which writes held the writer.
    pub(super) held: Duration,
    /// Commits, and their times together.
    pub(super) commits: u64,
    pub(super) committing: Duration,
    /// Most changes that were under way at once.
    pub(super) most: usize,
    /// Changes that were refused.
    pub(super) refused: u64,
}

/// The state of the controller.
#[derive(Debug, Clone)]
pub(super) struct Control {
    limit: f64,
    ceiling: f64,
    wait: Duration,
    group_max: GroupMax,
    commit: Duration,
    /// Writes a second of a writer with full groups that does nothing else.
    full: f64,
    /// Rounds in a row in which writes waited too long.
    late: u32,
    /// What part of its time the writer has for writes and commits.
    trust: f64,
    /// Refusals a second.
    refusals: f64,
}

impl Control {
    /// A controller that wants writes to wait so long at least before it refuses, and never lets more than `most` in.
    pub(super) fn new(wait: Duration, most: usize, group_max: GroupMax) -> Self {
        let ceiling = most.max(1) as f64;
        Control {
            limit: ceiling,
            ceiling,
            wait,
            group_max,
            commit: Duration::ZERO,
            full: 0.0,
            late: 0,
            trust: 1.0,
            refusals: 0.0,
        }
    }

    /// Changes that may be under way.
    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }

    /// How long writes may wait.
    pub(super) fn wanted(&self) -> Duration {
        (self.commit * COMMITS).clamp(self.wait.min(WAIT_MAX), WAIT_MAX)
    }

    /// How long the next round should last.
    pub(super) fn round(&self) -> Duration {
        (self.commit * ROUND_COMMITS).clamp(ROUND_MIN, WAIT_MAX)
    }

    /// Takes in what happened since the last round.
    pub(super) fn learn(&mut self, round: &Round) {
        let seconds = round.took.as_secs_f64().max(1e-6);
        self.refusals = half(self.refusals, round.refused as f64 / seconds);
        if round.commits > 0 {
            let mean = round.committing.as_secs_f64() / round.commits as f64;
            self.commit = Duration::from_secs_f64(half(self.commit.as_secs_f64(), mean));
        }
        if round.writes == 0 {
            return; // an idle writer, or one long commit: the next round will tell
        }
        self.full = half(self.full, self.full_rate(round));
        let wait = round.waited.as_secs_f64() / round.writes as f64;
        let wanted = self.wanted().as_secs_f64();
        self.late = if wait > wanted { self.late + 1 } else { 0 };
        let worked = (round.held + round.committing).as_secs_f64() / seconds;
        self.trust =
            if self.late < LATE_ROUNDS { worked.max(self.trust * TRUST_GROW) } else { half(self.trust, worked) };
        self.trust = self.trust.clamp(TRUST_MIN, 1.0);
        // The time that is not there for writes counts as used.
        let busy = (worked / self.trust).clamp(0.01, 1.0);
        let (fits, most) = (self.rate() * wanted, round.most as f64);
        if wait > wanted || busy > BUSY && most > fits {
            // What is under way now counts, not a limit that nobody reached.
            let from = self.limit.min(most).max(1.0);
            // Where more would fit than was under way, it was not too many who made the wait, but one long hold.
            self.limit = fits.clamp(from * SHRINK, from.max(fits.min(self.limit)));
        } else if most >= self.limit * REACHED {
            // Where the wait is near, growing further would only be taken back.
            let is_near = busy > BUSY && wait * 2.0 > wanted;
            self.limit = (self.limit * GROW).min(if is_near { fits.max(self.limit) } else { f64::MAX });
        }
        self.limit = self.limit.clamp(FLOOR.min(self.ceiling), self.ceiling);
    }

    /// Writes a second with full groups, where each takes what it took in this round.
    fn full_rate(&self, round: &Round) -> f64 {
        let hold = (round.held.as_secs_f64() / round.writes as f64).max(1e-6);
        let commit = match round.commits {
            0 => self.commit.as_secs_f64(),
            commits => round.committing.as_secs_f64() / commits as f64,
        };
        let time = self.group_max.time(Duration::from_secs_f64(commit)).as_secs_f64();
        let group = (time / hold).clamp(1.0, self.group_max.writes.max(1) as f64);
        1.0 / (hold + commit / group)
    }

    /// Writes a second that the writer gets through if it has to.
    fn rate(&self) -> f64 {
        self.full * self.trust
    }

    /// How long to hold a refusal back. A connection has one request at a time: where refusals are many, this keeps them
    /// from taking the processor that the changes under way need.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_secs_f64((PAUSE_EACH.as_secs_f64() * self.refusals).min(PAUSE_MAX.as_secs_f64()))
    }

    /// When this many changes, and those who were refused meanwhile, will have had their turn.
    pub(super) fn later(&self, under_way: usize) -> Duration {
        Duration::from_secs_f64((under_way as f64 + self.refusals) / self.rate().max(1.0))
    }
}

fn half(before: f64, now: f64) -> f64 {
    if before == 0.0 { now } else { (before + now) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_refusals_leave_at_once_and_many_are_held_back_for_a_bounded_time() {
        let paused = |refused| {
            let mut control =
                Control::new(Duration::from_millis(50), 100, GroupMax { writes: 10, time: Duration::from_millis(5) });
            control.learn(&Round { took: Duration::from_secs(1), refused, ..Round::default() });
            control.pause()
        };
        assert_eq!(paused(0), Duration::ZERO);
        assert!(paused(50) < Duration::from_millis(1));
        assert_eq!((paused(10_000), paused(u64::MAX)), (Duration::from_millis(100), PAUSE_MAX));
    }
}
