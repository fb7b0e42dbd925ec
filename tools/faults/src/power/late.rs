//! What a process said after its disk had lost the power.
//!
//! A cut of a file system leaves the process running until it is killed, so it can answer a write that the disk did not
//! take: ext4's shutdown lets an fdatasync of an append that is under way return 0, although the blocks that its pages went to were
//! never made part of the file (that needs the journal, which is gone; the pages count as written, and the last
//! transaction that the file waits for was committed long ago). Seen with 150 shutdowns of appends without the store (Linux 6.18): of
//! 5,648 fdatasyncs that had returned before, none was lost; of 75 that returned later with 0, 41, and all 17 that returned after
//! the shutdown itself had. Of overwrites none. A machine without power says nothing. So each answer carries the moment in
//! which it was there, on a clock that both processes share:
//!
//! **Invariants**
//! - An answer from before the cut began counts, whenever it was read from the pipe: its fdatasync had returned.
//! - A later one says nothing of the file: the write may be there or not. It is counted, and so is each that is not there.

use crate::disk::{Fate, Note};
use crate::process::Said;
use crate::work::{Found, Knowledge};
use std::collections::BTreeSet;
use std::fmt;

/// Answers from after a cut had begun.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// The writes, and how long after the cut had begun each answer was there.
    pending: Vec<(u64, u64)>,
    sum: Answers,
}

/// How many there were.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answers {
    /// Acknowledged after the power had begun to go.
    pub late: u64,
    /// Of these, not in the file.
    pub gone: u64,
    /// Nanoseconds from the begin of a cut to the first answer that was not kept.
    pub soonest_gone: Option<u64>,
}

impl Late {
    /// Takes what a worker said until its end, whose disk's power began to go at this moment.
    pub(super) fn learn(&mut self, said: &[Said], cut: u64, known: &mut Knowledge) {
        for said in said {
            match said.note {
                Note::Answered(op, fate) if said.at >= cut => {
                    if matches!(fate, Fate::Done { .. }) {
                        self.pending.push((op, said.at - cut));
                    }
                }
                note => known.learn(note),
            }
        }
    }

    /// Which of them the file holds after all.
    pub(super) fn look(&mut self, found: &Found) {
        let there: BTreeSet<u64> = found.rows.iter().map(|row| row.op).collect();
        for (op, after) in self.pending.drain(..) {
            self.sum.late += 1;
            if !there.contains(&op) {
                self.sum.gone += 1;
                self.sum.soonest_gone = Some(self.sum.soonest_gone.map_or(after, |soonest| soonest.min(after)));
            }
        }
    }

    pub(super) fn sum(&self) -> Answers {
        self.sum
    }
}

impl Answers {
    pub(super) fn add(&mut self, other: Answers) {
        self.late += other.late;
        self.gone += other.gone;
        self.soonest_gone = self.soonest_gone.into_iter().chain(other.soonest_gone).min();
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} answers were given after the power had begun to go, {} of them of writes that are not there",
            self.late, self.gone
        )?;
        match self.soonest_gone {
            Some(after) => write!(f, " (the soonest after {} us)", after / 1000),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Row;

    fn done(op: u64, at: u64) -> Said {
        Said { note: Note::Answered(op, Fate::Done { sequence: 4 + op, place: 0 }), at }
    }

    fn sent(op: u64) -> Said {
        Said { note: Note::Sent(op), at: 1 }
    }

    /// A file with the write 0 and nothing else.
    fn with_one_write() -> Found {
        let mut found = Found::default();
        found.sequence = 4;
        found.rows = vec![Row { n: 1, op: 0, sequence: 4 }];
        found
    }

    #[test]
    fn an_answer_from_before_the_cut_counts_and_a_later_one_does_not() {
        let (mut late, mut known) = (Late::default(), Knowledge::default());
        late.learn(&[sent(0), sent(1), sent(2), done(0, 99), done(1, 100), done(2, 170)], 100, &mut known);
        assert_eq!(known.acknowledged(), 1);
        late.look(&with_one_write());
        let sum = late.sum();
        assert_eq!((sum.late, sum.gone, sum.soonest_gone), (2, 2, Some(0)));
        late.look(&with_one_write());
        assert_eq!(late.sum().late, 2, "each is looked for once");
        let (mut late, mut known) = (Late::default(), Knowledge::default());
        late.learn(&[sent(0), sent(1), done(0, 98), done(1, 99)], 100, &mut known);
        let error = known.judge(&with_one_write()).unwrap_err();
        assert!(error.to_string().contains("commit 5 was answered"), "{error}");
    }
}
