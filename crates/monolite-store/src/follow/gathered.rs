//! Commits that are being united into one batch, frame by frame.
//!
//! **Invariants**
//! - What is answered ends with a whole commit that has a number, and begins right after the last one that was taken.
//! - A commit without a number, another program's, goes with the next one that has one.
//!
//! Never here: the WAL itself, nor where the follower stands in it.

use super::batch::Parts;
use super::row::Row;

/// Commits that are being united.
#[derive(Default)]
pub(super) struct Gathered {
    /// The last commit taken.
    known: Option<u64>,
    /// Pages in the file after the last commit seen.
    size: Option<u32>,
    frames: Vec<(u32, u32)>,
    /// Pages of the commit in the making that look like the store's own row.
    rows: Vec<(u32, Row)>,
    least: Option<u32>,
    first: Option<Row>,
    last: Option<(Row, u32)>,
    before: Option<(u64, i64)>,
    /// Frames and the fewest pages up to the last commit taken.
    whole: (usize, u32),
}

/// What a commit mark came to.
pub(super) enum Commit {
    /// Another program's: its pages go with the next one.
    Unnumbered,
    /// Taken long ago.
    Skipped,
    /// The next one, with this number.
    Taken(u64),
    /// The one before it is missing.
    Later(u64),
}

impl Gathered {
    /// Nothing yet, behind this commit and this many pages.
    pub(super) fn after(known: Option<u64>, size: Option<u32>) -> Self {
        Gathered { known, size, ..Gathered::default() }
    }

    /// A frame was read: its page, its number, and the store's own row where it seems to hold that.
    pub(super) fn frame(&mut self, page: u32, number: u32, row: Option<Row>) {
        self.frames.push((page, number));
        self.rows.retain(|(other, _)| *other != page);
        self.rows.extend(row.map(|row| (page, row)));
    }

    /// Frames so far.
    pub(super) fn frames(&self) -> u64 {
        self.frames.len() as u64
    }

    /// A commit mark was read, with the pages in the file from there on.
    pub(super) fn commit(&mut self, size: u32) -> Commit {
        // What the file had before counts where the pages in between are not known.
        let before = self.size.unwrap_or(size);
        self.least = Some(self.least.unwrap_or(before).min(size));
        self.size = Some(size);
        let next = self.known.map(|known| known + 1);
        let rows = std::mem::take(&mut self.rows);
        let found = rows.iter().find(|(_, row)| Some(row.sequence) == next).or(rows.first());
        let Some((_, row)) = found.copied() else { return Commit::Unnumbered };
        match self.known {
            Some(known) if row.sequence < known => {
                self.frames.clear();
                self.least = None;
                return Commit::Skipped;
            }
            // The last one that was taken, or a change without a number behind it: taking its pages again is harmless.
            Some(known) if row.sequence == known => {
                if self.first.is_none() {
                    self.before = Some((row.sequence, row.epoch));
                }
                return Commit::Unnumbered;
            }
            Some(known) if row.sequence != known + 1 => return Commit::Later(row.sequence),
            _ => {}
        }
        self.first.get_or_insert(row);
        self.known = Some(row.sequence);
        self.last = Some((row, size));
        self.whole = (self.frames.len(), self.least.unwrap_or(size));
        Commit::Taken(row.sequence)
    }

    /// What was taken; `None` where that is nothing.
    pub(super) fn finish(self) -> Option<Parts> {
        let (first, (row, size)) = (self.first?, self.last?);
        let mut frames = self.frames;
        frames.truncate(self.whole.0);
        Some(Parts {
            first: first.sequence,
            last: row.sequence,
            epoch: row.epoch,
            first_epoch: first.epoch,
            before: self.before,
            size,
            least: self.whole.1,
            frames,
        })
    }
}
