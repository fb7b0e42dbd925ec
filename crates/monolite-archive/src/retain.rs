//! What may be deleted: a pure function of what is there, what was promised, and now.
//!
//! **Invariants**
//! - Every moment of the promised age stays restorable, to the fineness that was promised for it, and so does every pin.
//! - What leads to the newest commit stays whatever its age.
//! - Whole generations go, from the old end; a merged segment goes only when all that it held is in one that stays.
//!
//! Never here: deleting, clocks, places.

use crate::history::{History, Segment};
use crate::layout::BASES;
use crate::plan::{Plan, Target};
use crate::planted::planted;
use crate::{Entry, Kind, Result};

/// What is promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// Any moment of the last so many milliseconds can be restored.
    pub age_ms: i64,
    /// Bases that stay at least, whatever their age.
    pub bases: usize,
    /// How long segments of levels 0 to 8 stay after they were merged into a higher one: that long, moments between the
    /// ends of the higher one can be restored.
    pub merged_ms: [i64; 9],
}

/// The segments that nothing promised needs, in an order in which they can be deleted one after another.
///
/// `pins` are commits that have to stay restorable: marks, cuts, restores under way.
pub fn expendable(segments: &[Segment], keep: &Keep, pins: &[u64], now_ms: i64) -> Vec<Segment> {
    let Some(newest) = segments.iter().map(|s| s.name.last).max() else { return Vec::new() };
    let horizon = horizon(segments, keep, now_ms);
    let mut gone: Vec<Segment> =
        segments.iter().filter(|s| before(s, horizon.as_ref()) || merged(s, segments, keep, now_ms)).copied().collect();
    let pins = if planted!("pins_forgotten") { &[] } else { pins };
    for pin in pins.iter().chain([&newest]) {
        // A pin that leads nowhere now cannot be kept; a gap is told elsewhere.
        if let Ok(plan) = Plan::to(segments, Target::Sequence(*pin), |s| Ok(s.created_ms)) {
            gone.retain(|s| !plan.segments().contains(s));
        }
    }
    // A chain is deleted from its far end: what is left at any moment is still one.
    gone.sort_by_key(|s| (!s.name.is_base(), s.level, std::cmp::Reverse(s.name.last)));
    gone
}

/// The oldest base that is needed: the newest that is old enough to restore the oldest promised moment from, one more
/// in case that one is damaged, and as many as were promised.
fn horizon(segments: &[Segment], keep: &Keep, now_ms: i64) -> Option<Segment> {
    let mut bases: Vec<&Segment> = segments.iter().filter(|s| s.name.is_base()).collect();
    bases.sort_by_key(|s| std::cmp::Reverse((s.name.last, s.level)));
    bases.dedup_by_key(|s| s.name.last);
    let oldest_moment = now_ms.saturating_sub(keep.age_ms);
    let enough = bases.iter().position(|s| s.created_ms <= oldest_moment)? + 1;
    let enough = if planted!("horizon_too_young") { enough.saturating_sub(2) } else { enough };
    bases.get(enough.max(keep.bases.saturating_sub(1))).map(|s| **s)
}

fn before(segment: &Segment, horizon: Option<&Segment>) -> bool {
    horizon.is_some_and(|horizon| {
        segment.name.last <= horizon.name.last
            && segment != horizon
            && !(segment.name == horizon.name && segment.level > horizon.level)
    })
}

/// Whether all of it is in a segment of a higher level, that has been there long enough.
fn merged(segment: &Segment, segments: &[Segment], keep: &Keep, now_ms: i64) -> bool {
    if segment.name.is_base() {
        return false;
    }
    let Some(stays) = keep.merged_ms.get(usize::from(segment.level.number())) else { return false };
    segments.iter().any(|over| {
        segment.level < over.level
            && over.level < BASES
            && !over.name.is_base()
            && over.name.first <= segment.name.first
            && segment.name.last <= over.name.last
            // By the last of all that were merged: else the younger of them would lose what leads to them.
            && over.created_ms.saturating_add(*stays) < now_ms
    })
}

/// Names a commit that a restore is reading, so that retention leaves what leads there. Gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Pin<'a> {
    history: &'a History,
    name: String,
}

/// The folder of pins in a history.
const PINS: &str = "pins";
/// A pin that is older belongs to a restore that died.
const PIN_AGE_MS: i64 = 7 * 24 * 3_600_000;

impl<'a> Pin<'a> {
    /// Sets a pin, if the place lets us: who may only read restores without.
    pub(crate) fn set(history: &'a History, sequence: u64) -> Option<Pin<'a>> {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).ok()?;
        let name = history.name(&format!("{PINS}/{sequence:016x}-{:016x}", u64::from_ne_bytes(nonce)));
        history.place().put(&name, b"").ok()?;
        Some(Pin { history, name })
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        // One that stays is passed over after `PIN_AGE_MS`.
        let _ = self.history.place().delete(&self.name);
    }
}

/// The commits that restores are reading now. Pins of restores that died are removed.
pub fn pins(history: &History, now_ms: i64) -> Result<Vec<u64>> {
    let mut pins = Vec::new();
    for entry in history.place().list(&history.name(PINS))? {
        if entry.created_ms.saturating_add(PIN_AGE_MS) < now_ms {
            match history.place().delete(&history.name(&format!("{PINS}/{}", entry.name))) {
                Err(e) if e.kind() != Kind::Denied => return Err(e),
                _ => {}
            }
        } else {
            pins.extend(named_by(&entry));
        }
    }
    Ok(pins)
}

/// Whether a restore has named this commit, however long ago. Nothing is removed.
pub(crate) fn is_pinned(history: &History, commit: u64) -> Result<bool> {
    Ok(history.place().list(&history.name(PINS))?.iter().any(|pin| named_by(pin) == Some(commit)))
}

/// The commit that a pin names.
fn named_by(pin: &Entry) -> Option<u64> {
    u64::from_str_radix(pin.name.split('-').next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Level, SegmentName};
    use proptest::prelude::*;

    fn segment(level: u8, first: u64, last: u64) -> Segment {
        let created_ms = i64::try_from(last).unwrap() * 1_000; // a commit each second
        Segment { level: Level::new(level).unwrap(), name: SegmentName { first, last }, bytes: 1, created_ms }
    }

    fn keep(age: i64, bases: usize, merged: i64) -> Keep {
        Keep { age_ms: age * 1_000, bases, merged_ms: [merged * 1_000; 9] }
    }

    fn reaches(segments: &[Segment], sequence: u64) -> bool {
        Plan::to(segments, Target::Sequence(sequence), |s| Ok(s.created_ms)).is_ok()
    }

    fn names(segments: &[Segment]) -> Vec<String> {
        let mut names: Vec<String> =
            segments.iter().map(|s| format!("{}/{}-{}", s.level.number(), s.name.first, s.name.last)).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_merged_goes_when_the_last_of_it_is_old_enough() {
        let mut all: Vec<Segment> = (2..=9).map(|n| segment(0, n, n)).collect();
        all.extend([segment(9, 1, 1), segment(1, 2, 5), segment(1, 6, 9)]);
        assert_eq!(names(&expendable(&all, &keep(100, 1, 10), &[], 15_001)), ["0/2-2", "0/3-3", "0/4-4", "0/5-5"]);
        assert_eq!(expendable(&all, &keep(100, 1, 10), &[], 15_000), []);
        assert_eq!(names(&expendable(&all, &keep(100, 1, 10), &[4], 15_001)), ["0/5-5"], "a pin keeps its way");
    }

    #[test]
    fn generations_go_as_wholes_and_one_more_than_needed_stays() {
        let mut all: Vec<Segment> = (2..=40).map(|n| segment(0, n, n)).collect();
        all.extend([1, 10, 20, 30].map(|last| segment(9, 1, last)));
        let gone = expendable(&all, &keep(15, 1, 1_000), &[], 40_000);
        let left: Vec<Segment> = all.iter().filter(|s| !gone.contains(s)).copied().collect();
        // Moments from 25 s on are promised: the base of 20 leads there, that of 10 is the one more.
        assert_eq!(left.iter().map(|s| s.name.last).min(), Some(10));
        assert!((10..=40).all(|n| reaches(&left, n)));
        let gone = expendable(&all, &keep(15, 4, 1_000), &[], 40_000);
        assert_eq!(gone, [], "four bases are promised");
        assert_eq!(expendable(&all, &keep(1_000, 1, 1_000), &[], 40_000), [], "no base is as old as the promise");
        let gone = expendable(&all, &keep(15, 1, 1_000), &[5], 40_000);
        assert!(!gone.iter().any(|s| s.name.last <= 5) && gone.iter().any(|s| s.name.last == 6));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        /// Captures, merges of runs that follow each other, bases; then any retention.
        #[test]
        fn what_is_promised_stays_restorable(
            ends in proptest::collection::btree_set(2u64..80, 1..30),
            merges in proptest::collection::vec((0u8..4, 0usize..30, 2usize..6), 0..20),
            bases in proptest::collection::vec(0usize..30, 0..5),
            age in 0i64..80, count in 0usize..4, fine in 0i64..60, pins in proptest::collection::vec(1u64..80, 0..3), late in 0i64..40,
        ) {
            let mut all = vec![segment(9, 1, 1)];
            let mut first = 2;
            for last in &ends {
                all.push(segment(0, first, *last));
                first = last + 1;
            }
            for (level, at, length) in merges {
                let mut run: Vec<Segment> = all.iter().filter(|s| s.level.number() == level && !s.name.is_base()).copied().collect();
                run.sort_by_key(|s| s.name);
                let Some(run) = run.get(at..at + length) else { continue };
                let joined = segment(level + 1, run[0].name.first, run[length - 1].name.last);
                if run.windows(2).all(|w| w[1].name.first == w[0].name.last + 1) && !all.contains(&joined) {
                    all.push(joined);
                }
            }
            let ends: Vec<u64> = ends.into_iter().collect();
            for at in bases {
                let base = segment(9, 1, ends[at % ends.len()]);
                if !all.contains(&base) {
                    all.push(base);
                }
            }
            let newest = *ends.last().unwrap();
            let now_s = i64::try_from(newest).unwrap() + late;
            let keep = keep(age, count, fine);
            let gone = expendable(&all, &keep, &pins, now_s * 1_000);
            let mut left = all.clone();
            for segment in &gone {
                left.retain(|s| s != segment);
                // Deleted one after another: at no moment is the newest out of reach.
                prop_assert!(reaches(&left, newest));
            }
            for pin in pins {
                prop_assert!(!reaches(&all, pin) || reaches(&left, pin), "pin {pin}");
            }
            // The newest state from before each promised moment, at the fineness of what was merged last before it.
            for moment in (now_s - age).max(2)..=now_s {
                let moment_ms = moment * 1_000 + 1;
                let now = Plan::to(&left, Target::Before(moment_ms), |s| Ok(s.created_ms));
                prop_assert!(now.is_ok(), "moment {moment}: {:?}", now.err());
                let fine_enough = moment > now_s - fine;
                let was = Plan::to(&all, Target::Before(moment_ms), |s| Ok(s.created_ms)).unwrap();
                prop_assert!(!fine_enough || now.unwrap().last() == was.last(), "moment {moment} lost its fineness");
            }
            let bases = |segments: &[Segment]| {
                let mut lasts: Vec<u64> = segments.iter().filter(|s| s.name.is_base()).map(|s| s.name.last).collect();
                lasts.sort_unstable();
                lasts.dedup();
                lasts.len()
            };
            prop_assert!(bases(&left) >= count.min(bases(&all)));
            prop_assert!(expendable(&left, &keep, &[], now_s * 1_000).iter().all(|s| left.contains(s)));
        }
    }
}
