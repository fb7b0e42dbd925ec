//! A batch: what one or more whole commits made of the file's pages.
//!
//! **Invariants**
//! - Each page is in it once, as the last of the commits left it; ascending; none behind the file's end; never the page
//!   of the locked byte.
//! - A page by which the file grew and which has no frame is in it as zeros: SQLite writes none for a page that was
//!   allocated and freed by one transaction.
//! - Memory is 8 bytes for each frame, whatever the commits wrote: pages are read from the WAL when they are asked for,
//!   and proven to be still the same frame.

use super::frames::{Cursor, FRAME_HEADER};
use crate::error::{Error, Kind, Result};
use crate::sqlite::disk::WalFile;
use crate::wal_scan::u32_at;
use std::time::Duration;

/// The byte at which SQLite locks a database file; the page that holds it is never used.
const LOCKED_BYTE: u32 = 0x4000_0000;
/// In place of a frame's number: the page is zeros.
const ZEROS: u32 = u32::MAX;

/// One or more whole commits of a store, united.
pub struct Batch {
    /// The first commit in it.
    pub first: u64,
    /// The last commit in it.
    pub last: u64,
    /// The writer epoch of the last commit.
    pub epoch: i64,
    /// The writer epoch of the first commit.
    pub first_epoch: i64,
    /// The number and the writer epoch of the commit before the first, where the WAL still has that.
    pub before: Option<(u64, i64)>,
    /// Bytes of a page.
    pub page_size: u32,
    /// Pages in the file after the last commit.
    pub pages_in_file: u32,
    /// Frames of the WAL that were united.
    pub frames: u64,
    /// How long ago the last commit was made, as [`age`](super::Follower::age) says.
    pub age: Duration,
    /// By page: the page, and its frame.
    pages: Vec<(u32, u32)>,
    salts: [u8; 8],
    file: WalFile,
}

/// What a batch is made of.
pub(super) struct Parts {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) epoch: i64,
    pub(super) first_epoch: i64,
    pub(super) before: Option<(u64, i64)>,
    pub(super) size: u32,
    /// The fewest pages that the file had since the batch before this one.
    pub(super) least: u32,
    /// In the order of the WAL: the page, and its frame.
    pub(super) frames: Vec<(u32, u32)>,
}

impl Batch {
    pub(super) fn new(parts: Parts, at: &Cursor, file: WalFile, age: Duration) -> Batch {
        let Parts { first, last, epoch, first_epoch, before, size, least, frames: mut pages } = parts;
        let frames = pages.len() as u64;
        let locked = LOCKED_BYTE / at.page as u32 + 1;
        pages.sort_unstable();
        // The last frame of each page: equal pages lie together, by frame.
        let mut kept = 0;
        for n in 0..pages.len() {
            let last_of_page = pages.get(n + 1).is_none_or(|next| next.0 != pages[n].0);
            if last_of_page && pages[n].0 <= size && pages[n].0 != locked {
                pages[kept] = pages[n];
                kept += 1;
            }
        }
        pages.truncate(kept);
        let written = pages.len();
        for page in least.saturating_add(1)..=size {
            if page != locked && pages[..written].binary_search_by_key(&page, |(page, _)| *page).is_err() {
                pages.push((page, ZEROS));
            }
        }
        if pages.len() > written {
            pages.sort_unstable();
        }
        let (page_size, salts) = (at.page as u32, at.salts);
        Batch {
            first,
            last,
            epoch,
            first_epoch,
            before,
            page_size,
            pages_in_file: size,
            frames,
            age,
            pages,
            salts,
            file,
        }
    }

    /// How many pages are in it.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Bytes of its pages.
    pub fn bytes(&self) -> u64 {
        self.pages.len() as u64 * u64::from(self.page_size)
    }

    /// Hands out each page's number and bytes, ascending.
    ///
    /// # Errors
    /// What `each` says; [`Kind::Corrupt`] where another program changed the WAL meanwhile, [`Kind::Io`].
    pub fn for_each<E: From<Error>>(&mut self, mut each: impl FnMut(u32, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let size = self.page_size as usize;
        let mut frame = vec![0u8; FRAME_HEADER + size];
        let zeros = vec![0u8; size];
        for (page, at) in &self.pages {
            if *at == ZEROS {
                each(*page, &zeros)?;
                continue;
            }
            self.file.read_exact_at(&mut frame, Cursor::offset(size, u64::from(*at)))?;
            if u32_at(&frame, 0) != *page || frame[8..16] != self.salts {
                let text = "the WAL was started over under a batch that was not released; another program did it";
                return Err(Error::new(Kind::Corrupt, text).into());
            }
            each(*page, &frame[FRAME_HEADER..])?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("first", &self.first)
            .field("last", &self.last)
            .field("pages", &self.pages.len())
            .field("pages_in_file", &self.pages_in_file)
            .finish_non_exhaustive()
    }
}
