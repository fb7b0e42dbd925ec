//! The pace: the writer slows down where its follower falls behind.
//!
//! A follower reads, packs and syncs what the writer only appends. Where that takes longer for good, what it has not taken
//! would grow with the WAL that holds it, until the disk is full. So where the oldest commit that was not released is older
//! than the follower said, the writer rests after each group, in proportion to what the group took, and the longer the more
//! time the follower would need for all that waits, at the rate seen. So the writer works at the follower's rate, and what
//! waits stays near what the follower does in the time that it named.
//!
//! **Invariants**
//! - A rest is bounded, and ends as soon as the follower is no longer late.
//! - A follower that has released nothing for a while is not late, it is stuck: nobody waits for it, here at least.
//! - A commit costs one load where no follower named an age.
//! - The age alone says that it is late, never how much: it tells of the rate at which was written that long ago.
//!
//! Never here: what becomes of commits that a stuck follower leaves in the WAL.

use crate::store::Shared;
use crate::ticket::Ticket;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How much more than the age that it named a follower needs for all that waits when the writer rests as long as it works.
const STEP: Duration = Duration::from_millis(100);
/// The most that it rests, in times of what it worked, and at once.
const TIMES_MAX: f64 = 20.0;
const REST_MAX: Duration = Duration::from_millis(20);
/// Over how long the follower's rate is taken.
const WINDOW: Duration = Duration::from_millis(200);
/// One that releases nothing for so long is stuck.
const STUCK: Duration = Duration::from_secs(3);
/// Where the WAL is to start over and has grown to some times its size, the follower is to be nearer than it asked for; for
/// that the writer rests as long as it works at most.
const NEAR: Duration = Duration::from_millis(50);
/// Commits are noted so far apart, or this part of the oldest one's age.
const NOTED: Duration = Duration::from_millis(10);
const NOTED_PART: u32 = 32;

/// The writer's view of how late its follower is.
pub(crate) struct Pace {
    /// Some of the commits that were not released when last looked.
    waiting: VecDeque<Waiting>,
    /// The WAL's frames at the last look, and all that were written since the first.
    frames: Option<u64>,
    written: u64,
    /// What the follower has released.
    released: u64,
    released_frames: u64,
    /// When it was last seen to release something, or to have nothing to release.
    moved: Instant,
    /// The frames that it had released when its rate was last taken, and when that was.
    window: (u64, Instant),
    frames_per_second: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    sequence: u64,
    /// All that was written up to it.
    written: u64,
    at: Instant,
}

impl Pace {
    pub(crate) fn new() -> Pace {
        let (waiting, now) = (VecDeque::new(), Instant::now());
        let (frames, written, released, released_frames, frames_per_second) = (None, 0, 0, 0, None);
        Pace { waiting, frames, written, released, released_frames, moved: now, window: (0, now), frames_per_second }
    }

    /// A group has ended, after working so long, where the follower named an age; `sequence` is the last commit, with so many
    /// frames in the WAL. Rests where the follower is late; `is_large`: the WAL is, and waits for it.
    pub(crate) fn after_group(
        &mut self,
        shared: &Shared,
        sequence: u64,
        frames: u64,
        worked: Duration,
        is_large: bool,
    ) {
        let following = &shared.following;
        let named = following.late_ms.load(Ordering::Relaxed);
        if named == 0 {
            return;
        }
        let now = Instant::now();
        if let Some(before) = self.frames.replace(frames) {
            self.written += frames.checked_sub(before).unwrap_or(frames);
        }
        self.note(sequence, now);
        let late = Duration::from_millis(named);
        let near = if is_large { late.min(NEAR) } else { late };
        if self.age(now) <= near {
            return;
        }
        self.look(following.gate.sequence(), now);
        let least = self.rest(near, worked, now).map(|rest| rest.min(worked));
        let Some(rest) = self.rest(late, worked, now).max(least) else { return };
        if following.closing.load(Ordering::Relaxed) || !following.is_followed() {
            return;
        }
        shared.holding.set(&Ticket::label("follower"), now);
        following.wait_for(self.not_late(near, now), rest);
        shared.holding.clear();
        shared.rested(now.elapsed());
    }

    fn note(&mut self, sequence: u64, now: Instant) {
        let apart = NOTED.max(self.age(now) / NOTED_PART);
        let is_next = match self.waiting.back() {
            None if sequence > self.released => {
                (self.moved, self.window) = (now, (self.released_frames, now));
                true
            }
            None => false,
            Some(last) => sequence > last.sequence && now.duration_since(last.at) >= apart,
        };
        if is_next {
            self.waiting.push_back(Waiting { sequence, written: self.written, at: now });
        }
    }

    /// How long ago the oldest commit was made that was not released.
    fn age(&self, now: Instant) -> Duration {
        self.waiting.front().map_or(Duration::ZERO, |waiting| now.duration_since(waiting.at))
    }

    /// The follower has come so far.
    fn look(&mut self, released: u64, now: Instant) {
        if released <= self.released {
            return;
        }
        (self.released, self.moved) = (released, now);
        while let Some(first) = self.waiting.pop_front_if(|first| first.sequence <= released) {
            self.released_frames = first.written;
        }
        let (frames, since) = self.window;
        let took = now.duration_since(since);
        if took >= WINDOW {
            self.frames_per_second = Some((self.released_frames - frames) as f64 / took.as_secs_f64());
            self.window = (self.released_frames, now);
        }
    }

    /// How long to rest; not at all where the follower is in time or stuck.
    fn rest(&self, late: Duration, worked: Duration, now: Instant) -> Option<Duration> {
        if self.age(now) <= late || now.duration_since(self.moved) >= STUCK {
            return None;
        }
        let needs = (self.written - self.released_frames) as f64 / self.frames_per_second?.max(1.0);
        let times = (needs - late.as_secs_f64()) / STEP.as_secs_f64();
        (times > 0.0).then(|| worked.mul_f64(times.min(TIMES_MAX)).min(REST_MAX))
    }

    /// The commit with whose release the follower is late no more.
    fn not_late(&self, late: Duration, now: Instant) -> u64 {
        let is_late = |waiting: &&Waiting| now.duration_since(waiting.at) > late;
        self.waiting.iter().rev().find(is_late).map_or(self.released, |waiting| waiting.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A writer whose groups take 1 ms each, and a follower that takes `cost` ms for each of them, `batch` at once.
    /// Answers the greatest age in ms in each half of 20 s, and the groups.
    fn play(cost: u32, batch: u64, late: Duration) -> ([u128; 2], u64) {
        let start = Instant::now();
        let (mut pace, mut now, mut sequence) = (Pace::new(), start, 0);
        let (mut released, mut taken, mut done) = (0u64, 0u64, start);
        let mut oldest = [0; 2];
        let mut made = VecDeque::from([start]);
        while now - start < MS * 20_000 {
            now += MS;
            sequence += 1;
            made.push_back(now);
            pace.written += 1;
            pace.note(sequence, now);
            pace.look(released, now);
            now += pace.rest(late, MS, now).unwrap_or_default();
            while done <= now {
                released = taken;
                let next = (sequence - taken).min(batch);
                taken += next;
                done = if next == 0 { now + MS } else { done + MS * cost * next as u32 };
            }
            if released < sequence {
                let half = usize::from(now - start > MS * 10_000);
                oldest[half] = oldest[half].max((now - made[released as usize + 1]).as_millis());
            }
        }
        (oldest, sequence)
    }

    #[test]
    fn a_follower_in_time_costs_nothing_and_a_slow_one_sets_the_pace() {
        let late = MS * 500;
        assert_eq!(play(1, 100, late).1, 20_000);
        for (cost, batch) in [(2, 50), (3, 50), (5, 20), (8, 20)] {
            let (oldest, groups) = play(cost, batch, late);
            let most = 20_000 / u64::from(cost);
            assert!(groups > most * 8 / 10 && groups < most + 1_500, "{groups} groups beside a follower of {cost} ms");
            // What is written at full rate before anybody is late takes the follower so much longer.
            let (times, takes) = (u128::from(cost), u128::from(cost) * u128::from(batch));
            assert!(oldest[0] < (500 + 100) * times + takes + 100, "{oldest:?} ms beside a follower of {cost} ms");
            assert!(oldest[1] < 500 + 100 * times + 2 * takes, "{oldest:?} ms beside a follower of {cost} ms");
        }
    }

    #[test]
    fn nobody_waits_for_a_follower_that_is_stuck_until_it_goes_on() {
        let start = Instant::now();
        let (mut pace, mut now, mut rests) = (Pace::new(), start, 0);
        let write = |pace: &mut Pace, sequence, now| {
            pace.written += 1;
            pace.note(sequence, now);
            u32::from(pace.rest(MS * 100, MS, now).is_some())
        };
        for sequence in 1..=5_000 {
            now += MS;
            rests += write(&mut pace, sequence, now);
            if sequence < 1_000 {
                pace.look(sequence / 2, now);
            }
        }
        // From where it needs more than 100 ms for what waits until 3 s after it released something.
        assert!((3_000..4_000).contains(&rests), "{rests} rests");
        assert!(pace.rest(MS * 100, MS, now).is_none());
        assert!(pace.waiting.len() < 400, "{} moments", pace.waiting.len());
        pace.look(3_000, now);
        let rest = pace.rest(MS * 100, MS, now).expect("it goes on, and is late");
        assert!(rest >= MS * 9, "{rest:?}");
        let enough = pace.not_late(MS * 100, now);
        assert!((4_700..4_901).contains(&enough), "{enough}");
        pace.look(enough, now);
        assert!(pace.rest(MS * 100, MS, now).is_none());
    }
}
