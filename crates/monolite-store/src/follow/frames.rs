//! The WAL's frames from where a follower stands, each with its checksum proven.
//!
//! **Invariants**
//! - A frame is handed out only if its salts and its checksum, which sums up all frames before it, are right.
//! - Memory is one buffer. Nothing is written.
//!
//! Layout of the file: SQLite's "WAL-mode file format", sections 4.1 to 4.5.

use crate::error::Result;
use crate::sqlite::disk::WalFile;
use crate::wal_scan::{MAGIC, checksum, u32_at};

pub(super) const HEADER: usize = 32;
pub(super) const FRAME_HEADER: usize = 24;
/// The one buffer of a reading; a frame of the largest page fits.
const BUFFER: usize = 256 << 10;

/// A place in one generation of the WAL: behind its `frames`th frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) page: usize,
    pub(super) salts: [u8; 8],
    pub(super) frames: u64,
    big_endian: bool,
    sums: (u32, u32),
}

impl Cursor {
    /// The beginning of the WAL's present generation; `None` where it has no sound header.
    pub(super) fn beginning(file: &mut WalFile) -> Result<Option<Cursor>> {
        if file.size()? < HEADER as u64 {
            return Ok(None);
        }
        let mut header = [0u8; HEADER];
        file.read_exact_at(&mut header, 0)?;
        let (magic, page) = (u32_at(&header, 0), u32_at(&header, 8));
        let big_endian = magic & 1 == 1;
        let sums = checksum(big_endian, &header[..24], (0, 0));
        let sound = (512..=65536).contains(&page)
            && page.is_power_of_two()
            && magic & !1 == MAGIC
            && sums == (u32_at(&header, 24), u32_at(&header, 28));
        let mut salts = [0; 8];
        salts.copy_from_slice(&header[16..24]);
        Ok(sound.then_some(Cursor { page: page as usize, salts, frames: 0, big_endian, sums }))
    }

    /// Where the frame with this number, counted from 0, lies.
    pub(super) fn offset(page: usize, frame: u64) -> u64 {
        HEADER as u64 + frame * (FRAME_HEADER + page) as u64
    }
}

/// A frame.
pub(super) struct Frame<'a> {
    pub(super) page: u32,
    /// Pages in the file after the commit that this frame ends; 0 where it ends none.
    pub(super) size: u32,
    pub(super) data: &'a [u8],
}

/// Reads frame after frame.
pub(super) struct Reading<'a> {
    file: &'a mut WalFile,
    pub(super) at: Cursor,
    bytes: u64,
    buffer: Vec<u8>,
    /// The next frame's place in the buffer.
    next: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn new(file: &'a mut WalFile, at: Cursor) -> Result<Reading<'a>> {
        let bytes = file.size()?;
        Ok(Reading { file, at, bytes, buffer: Vec::new(), next: 0 })
    }

    /// The next sound frame; `None` where there is none.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>> {
        let length = FRAME_HEADER + self.at.page;
        if self.next == self.buffer.len() {
            let from = Cursor::offset(self.at.page, self.at.frames);
            let whole = self.bytes.saturating_sub(from) / length as u64;
            let frames = whole.min((BUFFER / length).max(1) as u64) as usize;
            self.buffer.resize(frames * length, 0);
            self.next = 0;
            if frames == 0 {
                return Ok(None);
            }
            self.file.read_exact_at(&mut self.buffer, from)?;
        }
        let frame = &self.buffer[self.next..self.next + length];
        let sums = checksum(self.at.big_endian, &frame[..8], self.at.sums);
        let sums = checksum(self.at.big_endian, &frame[FRAME_HEADER..], sums);
        let page = u32_at(frame, 0);
        if frame[8..16] != self.at.salts || page == 0 || sums != (u32_at(frame, 16), u32_at(frame, 20)) {
            return Ok(None);
        }
        self.at.sums = sums;
        self.at.frames += 1;
        self.next += length;
        Ok(Some(Frame { page, size: u32_at(frame, 4), data: &frame[FRAME_HEADER..] }))
    }
}
