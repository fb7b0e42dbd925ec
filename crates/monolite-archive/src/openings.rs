//! What each opening of a store began with: the proof that a WAL goes on from the archive.
//!
//! A WAL proves by itself that it goes on where it still has the last archived commit, or where its first commit is of the
//! same writer. It has neither where an opening began with an empty WAL, or started it over with its first commit, and
//! ended before that was captured. So each opening is noted before it is served: writer 7 began after commit 41 of writer 6.
//!
//! **Invariants**
//! - An opening is noted for the file that was found, never for what is believed of it.
//! - Where the note is missing nothing is proven, and a new base is made.

use crate::{Result, beside};
use monolite_store::Found;
use std::cmp::Ordering;
use std::path::Path;

/// Openings that are remembered, the newest: as many may end one after another before a commit of them is captured.
const KEPT: usize = 256;
const NAME: &str = "openings";

/// One opening of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Opening {
    history: u128,
    /// Its writer.
    epoch: u64,
    /// The commit that it found, and that one's writer.
    sequence: u64,
    before: u64,
}

impl Opening {
    fn of(found: &Found, epoch: u64) -> Opening {
        let before = found.epoch as u64;
        Opening { history: u128::from_be_bytes(found.history), epoch, sequence: found.sequence, before }
    }

    fn parse(line: &str) -> Option<Opening> {
        let mut words = line.split(' ');
        let history = u128::from_str_radix(words.next()?, 16).ok()?;
        let mut number = || words.next()?.parse().ok();
        Some(Opening { history, epoch: number()?, sequence: number()?, before: number()? })
    }

    fn line(&self) -> String {
        format!("{:032x} {} {} {}\n", self.history, self.epoch, self.sequence, self.before)
    }
}

/// Notes an opening, which commits as this writer.
pub(crate) fn note(scratch: &Path, found: &Found, epoch: u64) -> Result<()> {
    let (mut all, new) = (all(scratch), Opening::of(found, epoch));
    if all.contains(&new) {
        return Ok(()); // kept anew by the same process
    }
    // A file that was put back is opened by a writer of the same number again: the older note is about another line.
    all.retain(|o| o.history == new.history && o.epoch < new.epoch);
    all.push(new);
    let newest = all.len().saturating_sub(KEPT);
    let text: String = all[newest..].iter().map(Opening::line).collect();
    beside::write(scratch, NAME, text.as_bytes())
}

/// Whether this writer was noted to have begun after that commit of that writer.
pub(crate) fn vouch(scratch: &Path, history: [u8; 16], epoch: u64, sequence: u64, before: u64) -> bool {
    all(scratch).contains(&Opening { history: u128::from_be_bytes(history), epoch, sequence, before })
}

/// The commit that this writer was noted to have begun after, and that one's writer.
pub(crate) fn began(scratch: &Path, history: &str, epoch: u64) -> Option<(u64, u64)> {
    let history = u128::from_str_radix(history, 16).ok()?;
    let noted = all(scratch).into_iter().find(|o| (o.history, o.epoch) == (history, epoch))?;
    Some((noted.sequence, noted.before))
}

/// The writer of the last commit of a file that does not run, by its newest opening.
pub(crate) fn last_writer(scratch: &Path, history: &str, last: u64) -> Option<u64> {
    let history = u128::from_str_radix(history, 16).ok()?;
    let newest = all(scratch).into_iter().filter(|o| o.history == history).max_by_key(|o| o.epoch)?;
    match last.cmp(&newest.sequence) {
        Ordering::Greater => Some(newest.epoch),
        Ordering::Equal => Some(newest.before),
        Ordering::Less => None, // the file was put back since
    }
}

fn all(scratch: &Path) -> Vec<Opening> {
    beside::read(scratch, NAME).unwrap_or_default().lines().filter_map(Opening::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(history: u8, sequence: u64, epoch: i64) -> Found {
        Found { history: [history; 16], sequence, epoch, page_size: 4096 }
    }

    fn opened(scratch: &Path, found: &Found) -> Result<()> {
        note(scratch, found, (found.epoch + 1) as u64)
    }

    #[test]
    fn an_opening_vouches_for_what_it_found_and_for_nothing_else() {
        let t = tempfile::tempdir().unwrap();
        assert!(!vouch(t.path(), [1; 16], 7, 41, 6));
        opened(t.path(), &found(1, 41, 6)).unwrap();
        opened(t.path(), &found(1, 43, 7)).unwrap();
        opened(t.path(), &found(1, 43, 7)).unwrap();
        assert!(vouch(t.path(), [1; 16], 7, 41, 6) && vouch(t.path(), [1; 16], 8, 43, 7));
        for (history, epoch, sequence, before) in [(2, 7, 41, 6), (1, 8, 41, 6), (1, 7, 42, 6), (1, 7, 41, 5)] {
            assert!(!vouch(t.path(), [history; 16], epoch, sequence, before));
        }
        // Put back to an older copy: writers of the same numbers begin elsewhere.
        opened(t.path(), &found(1, 40, 6)).unwrap();
        assert!(!vouch(t.path(), [1; 16], 7, 41, 6) && !vouch(t.path(), [1; 16], 8, 43, 7));
        opened(t.path(), &found(2, 40, 7)).unwrap();
        assert!(!vouch(t.path(), [1; 16], 7, 40, 6) && vouch(t.path(), [2; 16], 8, 40, 7), "of another file");
    }

    #[test]
    fn the_last_commit_is_of_the_newest_opening_or_of_what_that_found() {
        let t = tempfile::tempdir().unwrap();
        let writer = |last| last_writer(t.path(), &"01".repeat(16), last);
        assert_eq!(writer(41), None);
        opened(t.path(), &found(1, 41, 6)).unwrap();
        opened(t.path(), &found(1, 43, 7)).unwrap();
        assert_eq!([42, 43, 44].map(writer), [None, Some(7), Some(8)]);
        assert_eq!(last_writer(t.path(), &"02".repeat(16), 44), None, "of another file");
    }

    #[test]
    fn only_the_newest_are_remembered() {
        let t = tempfile::tempdir().unwrap();
        for n in 0..KEPT as i64 + 2 {
            opened(t.path(), &found(1, 10, n)).unwrap();
        }
        assert_eq!(all(t.path()).len(), KEPT);
        assert!(!vouch(t.path(), [1; 16], 2, 10, 1) && vouch(t.path(), [1; 16], 3, 10, 2));
    }
}
