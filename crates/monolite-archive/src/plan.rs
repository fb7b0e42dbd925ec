//! Which segments lead to a target: a base, and what follows it without a gap.
//!
//! **Invariants**
//! - A plan begins with a base, each segment goes on where the one before ended, and the last ends at the target exactly.
//! - A gap, or a target within a segment, is an error that names both sides; it is never passed over, also not for a time.

use crate::history::Segment;
use crate::planted::planted;
use crate::{Error, Kind, Result, moment};

/// What is to be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The newest commit in the archive.
    Latest,
    /// The state after this commit.
    Sequence(u64),
    /// The newest state that was kept from strictly before this moment, in unix milliseconds.
    Before(i64),
}

/// Segments that lead to a target, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    segments: Vec<Segment>,
}

impl Plan {
    /// Finds the way to a target with as few segments as there can be.
    ///
    /// `at` answers the moment of a segment's last commit, from its header: a place's own times change when it is
    /// copied. It is asked for a logarithm of the segments, and for a time only.
    pub fn to(segments: &[Segment], target: Target, at: impl FnMut(&Segment) -> Result<i64>) -> Result<Plan> {
        let newest = segments.iter().map(|s| s.name.last).max();
        let newest = newest.ok_or_else(|| Error::new(Kind::Missing, "nothing is archived in this history"))?;
        let last = match target {
            Target::Latest => newest,
            Target::Sequence(sequence) if sequence > newest => {
                let text = format!("commit {sequence} is not archived; the newest is {newest}");
                return Err(Error::new(Kind::Missing, text));
            }
            Target::Sequence(sequence) => sequence,
            Target::Before(moment) => return Plan::before(segments, moment, at),
        };
        Plan::exactly(segments, last)
    }

    /// Segments that were a plan before.
    pub(crate) fn of(segments: Vec<Segment>) -> Option<Plan> {
        (!segments.is_empty()).then_some(Plan { segments })
    }

    /// The segments, oldest first; the first is a base.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The commit that it leads to.
    pub fn last(&self) -> u64 {
        self.segments.last().expect("a plan has a base").name.last
    }

    /// Bytes of its segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.bytes).sum()
    }

    fn before(segments: &[Segment], moment: i64, mut at: impl FnMut(&Segment) -> Result<i64>) -> Result<Plan> {
        let mut ends: Vec<&Segment> = segments.iter().collect();
        ends.sort_by_key(|s| (s.name.last, s.level));
        ends.dedup_by_key(|s| s.name.last);
        // Moments do not go back along a history: whoever writes it sees to that.
        let (mut before, mut not) = (0, ends.len());
        while before < not {
            let middle = before + (not - before) / 2;
            if at(ends[middle])? < moment + i64::from(planted!("time_is_not_strict")) {
                before = middle + 1
            } else {
                not = middle
            }
        }
        for end in ends[..before].iter().rev() {
            match Plan::exactly(segments, end.name.last) {
                // What led to this end by itself was merged into something longer: the state before it was kept.
                Err(e) if e.kind() == Kind::Within => {}
                other => return other,
            }
        }
        let (asked, first) = (moment::text(moment), moment::text(at(ends[0])?));
        let text = format!("nothing was kept from before {asked}: this history begins at {first}");
        Err(Error::new(Kind::Missing, text))
    }

    fn exactly(segments: &[Segment], last: u64) -> Result<Plan> {
        let bases = segments.iter().filter(|s| s.name.is_base() && s.name.last <= last);
        // Of equal ones the higher level: that is where the others are merged to.
        let Some(base) = bases.max_by_key(|s| (s.name.last, s.level)) else { return Err(no_base(segments, last)) };
        let mut plan = vec![*base];
        let mut reached = base.name.last;
        while reached < last && !(planted!("plan_without_the_last") && last - reached == 1) {
            let goes_on = |s: &&Segment| s.name.first <= reached + 1 && reached < s.name.last && s.name.last <= last;
            // Of those that lead furthest, the one that holds least of what is already there.
            let next = segments.iter().filter(goes_on).max_by_key(|s| (s.name.last, s.name.first, s.level));
            if next.is_none() && planted!("plan_passes_a_gap") {
                break;
            }
            let Some(next) = next else { return Err(no_way(segments, reached, last)) };
            plan.push(*next);
            reached = next.name.last;
        }
        Ok(Plan { segments: plan })
    }
}

fn no_base(segments: &[Segment], last: u64) -> Error {
    match segments.iter().filter(|s| s.name.is_base()).min_by_key(|s| s.name.last) {
        Some(base) => {
            let text = format!("commit {last} cannot be restored: the oldest base is of commit {}", base.name.last);
            Error::new(Kind::Missing, text)
        }
        None => {
            let first = segments.iter().map(|s| s.name.first).min().unwrap_or(0);
            let text =
                format!("there is no base; the oldest segment begins with commit {first}. A new base has to be made");
            Error::new(Kind::Gap, text)
        }
    }
}

/// Why there is no segment after `reached`: the target is within one, or there is a gap.
fn no_way(segments: &[Segment], reached: u64, last: u64) -> Error {
    if let Some(over) = segments.iter().find(|s| s.name.first <= reached + 1 && s.name.last > last) {
        let text = format!(
            "commit {last} was not kept by itself: it is within {over}; the nearest that can be restored are {reached} and {}",
            over.name.last
        );
        return Error::new(Kind::Within, text);
    }
    let next = segments.iter().filter(|s| s.name.first > reached + 1).min_by_key(|s| s.name.first);
    match next {
        Some(next) => {
            let first = next.name.first;
            let text = format!(
                "commits {} to {} are missing: one segment ends with commit {reached}, the next, {next}, begins with {first}. Up to {reached} can be restored by naming it",
                reached + 1,
                first - 1
            );
            Error::new(Kind::Gap, text)
        }
        None => Error::new(Kind::Gap, format!("nothing follows commit {reached}, and commit {last} is asked for")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Level, SegmentName};
    use proptest::prelude::*;

    fn segment(level: u8, first: u64, last: u64) -> Segment {
        let at = i64::try_from(last * 10).unwrap();
        Segment { level: Level::new(level).unwrap(), name: SegmentName { first, last }, bytes: 1, created_ms: at }
    }

    fn plan(segments: &[Segment], target: Target) -> Result<Vec<(u64, u64)>> {
        let plan = Plan::to(segments, target, |s| Ok(s.created_ms))?;
        Ok(plan.segments().iter().map(|s| (s.name.first, s.name.last)).collect())
    }

    fn history() -> Vec<Segment> {
        let mut all: Vec<Segment> = (2..=20).map(|n| segment(0, n, n)).collect();
        all.extend([segment(1, 2, 5), segment(1, 6, 9), segment(2, 2, 9), segment(9, 1, 1), segment(9, 1, 12)]);
        all
    }

    #[test]
    fn the_newest_base_and_the_widest_segments_are_taken() {
        let all = history();
        assert_eq!(plan(&all, Target::Latest).unwrap()[..2], [(1, 12), (13, 13)]);
        assert_eq!(plan(&all, Target::Sequence(11)).unwrap(), [(1, 1), (2, 9), (10, 10), (11, 11)]);
        assert_eq!(plan(&all, Target::Sequence(6)).unwrap(), [(1, 1), (2, 5), (6, 6)]);
        assert_eq!(plan(&all, Target::Sequence(1)).unwrap(), [(1, 1)]);
    }

    #[test]
    fn a_time_means_strictly_before() {
        let all = history();
        let last = |moment| plan(&all, Target::Before(moment)).map(|plan| plan.last().unwrap().1);
        assert_eq!((last(70).unwrap(), last(71).unwrap(), last(11).unwrap()), (6, 7, 1));
        assert_eq!(last(i64::MAX).unwrap(), 20, "what is newer than the newest is the newest");
        let early = last(10).unwrap_err();
        assert_eq!(early.kind(), Kind::Missing);
        assert!(early.to_string().contains("begins at 1970-01-01T00:00:00.010Z"), "{early}");
    }

    #[test]
    fn a_gap_is_refused_for_every_target_past_it_and_names_both_sides() {
        let mut all = history();
        all.retain(|s| s.name.last <= 12 || s.name.first > 15);
        for target in [Target::Latest, Target::Sequence(17), Target::Before(171)] {
            let error = plan(&all, target).unwrap_err();
            assert_eq!(error.kind(), Kind::Gap);
            assert!(error.to_string().contains("commits 13 to 15 are missing"), "{error}");
        }
        assert_eq!(
            plan(&all, Target::Before(160)).unwrap(),
            [(1, 12)],
            "a time before the gap's far side is before the gap"
        );
        all.push(segment(9, 1, 16));
        assert_eq!(plan(&all, Target::Sequence(17)).unwrap(), [(1, 16), (17, 17)], "a later base heals it");
    }

    #[test]
    fn what_cannot_be_is_said() {
        let all = [segment(9, 1, 4), segment(0, 5, 9)];
        let within = plan(&all, Target::Sequence(7)).unwrap_err();
        assert_eq!(within.kind(), Kind::Within);
        assert!(within.to_string().ends_with("are 4 and 9"), "{within}");
        assert_eq!(plan(&all, Target::Sequence(10)).unwrap_err().kind(), Kind::Missing);
        assert_eq!(plan(&all, Target::Sequence(3)).unwrap_err().kind(), Kind::Missing);
        assert_eq!(plan(&[], Target::Latest).unwrap_err().kind(), Kind::Missing);
        assert_eq!(plan(&[segment(0, 5, 9)], Target::Latest).unwrap_err().kind(), Kind::Gap);
        let wide = [segment(0, 1, 3), segment(0, 2, 8)];
        assert_eq!(
            plan(&wide, Target::Latest).unwrap(),
            [(1, 3), (2, 8)],
            "a base may lie in any level, and segments may overlap"
        );
    }

    proptest! {
        /// If any chain of segments leads to a commit, the plan is one.
        #[test]
        fn a_way_is_found_wherever_there_is_one(
            parts in proptest::collection::vec((1u64..30, 0u64..12, 0u8..10), 1..25), target in 1u64..40,
        ) {
            let all: Vec<Segment> = parts.iter().map(|(first, more, level)| segment(*level, *first, first + more)).collect();
            let mut reached = [false; 64];
            for _ in 0..all.len() {
                for s in &all {
                    let joins = s.name.is_base() || (s.name.first - 1..s.name.last).any(|n| reached[usize::try_from(n).unwrap()]);
                    reached[usize::try_from(s.name.last).unwrap()] |= joins;
                }
            }
            match plan(&all, Target::Sequence(target)) {
                Ok(found) => {
                    prop_assert!(found[0].0 == 1 && found.last().unwrap().1 == target);
                    prop_assert!(found.windows(2).all(|w| w[1].0 <= w[0].1 + 1 && w[0].1 < w[1].1));
                }
                Err(_) => prop_assert!(!reached[usize::try_from(target).unwrap()]),
            }
        }
    }
}
