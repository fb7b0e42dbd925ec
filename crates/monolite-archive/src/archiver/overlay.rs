//! The segments that are laid over a base copy: from where it began to what it saw.
//!
//! **Invariants**
//! - Each goes on where the one before ended, and the last ends where the copy ended, or behind that.
//! - Segments that are merged already do not count against the bound where one that they were merged into leads on.
//!
//! Never here: what becomes of them.

use crate::history::Segment;
use crate::{Error, Kind, Result};

/// Which segment is taken at each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The one that goes furthest, and no further than the first that ends at the end or behind it: at full rate there would always
    /// be more.
    Near,
    /// The one that goes furthest, wherever it ends: as few as there can be.
    Far,
}

/// The segments that lead from one commit to another, and where they end.
///
/// # Errors
/// [`Kind::Gap`] where none goes on.
pub(super) fn overlay(segments: &[Segment], from: u64, to: u64, reach: Reach) -> Result<(Vec<Segment>, u64)> {
    let (mut over, mut reached) = (Vec::new(), from);
    while reached < to {
        let goes_on = |s: &&Segment| !s.name.is_base() && s.name.first <= reached + 1 && reached < s.name.last;
        let all = segments.iter().filter(goes_on);
        let beyond = |s: &&Segment| (s.name.last.saturating_sub(to), to.saturating_sub(s.name.last));
        let next = match reach {
            Reach::Near => all.min_by_key(beyond),
            Reach::Far => all.max_by_key(|s| s.name.last),
        };
        let Some(next) = next else {
            let text = format!("commit {} was captured, but lies in no segment", reached + 1);
            return Err(Error::new(Kind::Gap, text));
        };
        over.push(*next);
        reached = next.name.last;
    }
    Ok((over, reached))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Level, SegmentName};

    fn segment(level: u8, first: u64, last: u64) -> Segment {
        Segment { level: Level::new(level).unwrap(), name: SegmentName { first, last }, bytes: 1, created_ms: 0 }
    }

    fn names(over: &[Segment]) -> Vec<(u64, u64)> {
        over.iter().map(|s| (s.name.first, s.name.last)).collect()
    }

    #[test]
    fn near_the_first_that_ends_at_the_end_or_behind_it_is_the_last() {
        let all = [segment(0, 11, 12), segment(0, 13, 14), segment(0, 15, 18), segment(0, 19, 20), segment(1, 11, 14)];
        let over =
            |from, to| overlay(&all, from, to, Reach::Near).map(|(over, reached)| (names(&over), reached)).unwrap();
        assert_eq!(over(10, 14), (vec![(11, 14)], 14));
        assert_eq!(over(10, 12), (vec![(11, 12)], 12));
        assert_eq!(over(12, 16), (vec![(13, 14), (15, 18)], 18));
        assert_eq!(over(16, 16), (vec![], 16));
    }

    #[test]
    fn what_was_merged_into_one_that_goes_beyond_the_end_does_not_count_against_the_bound() {
        // 200 of level 0 that are merged into one, behind one more: nothing is left to be merged.
        let mut all: Vec<Segment> = (101..=300).map(|commit| segment(0, commit, commit)).collect();
        all.extend([segment(1, 51, 100), segment(1, 101, 300)]);
        let (near, reached) = overlay(&all, 60, 290, Reach::Near).unwrap();
        assert_eq!((near.len(), reached), (191, 290));
        let (far, reached) = overlay(&all, 60, 290, Reach::Far).unwrap();
        assert_eq!((names(&far), reached), (vec![(51, 100), (101, 300)], 300));
    }

    #[test]
    fn a_base_leads_on_from_nowhere_and_a_gap_is_named() {
        let all = [segment(9, 1, 20), segment(0, 11, 12), segment(0, 14, 20)];
        for reach in [Reach::Near, Reach::Far] {
            let gap = overlay(&all, 10, 15, reach).unwrap_err();
            assert!(gap.kind() == Kind::Gap && gap.to_string().contains("commit 13 "), "{gap}");
        }
    }
}
