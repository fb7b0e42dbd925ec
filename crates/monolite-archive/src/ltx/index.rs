//! The index of a segment: where each page's frame is, for reading single pages.
//!
//! **Invariants**
//! - Frames lie one behind the other between header and index; an index that says otherwise is refused.
//! - A page found by its index alone is not covered by a checksum that was looked at: who needs that reads the whole segment.

use super::{FRAME_BYTES, HEADER_BYTES, TRAILER_BYTES, varint};
use crate::{Error, Result};
use lz4_flex::block::decompress_into;

/// Where a page's frame lies in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The page.
    pub page: u32,
    /// The frame's first byte.
    pub offset: u64,
    /// Bytes of the frame.
    pub bytes: u32,
}

/// The index of a segment in memory: 16 bytes a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index(Vec<Frame>);

impl Index {
    /// Bytes at the end of a segment that say how long the index is.
    pub const TAIL_BYTES: usize = 8 + TRAILER_BYTES;

    /// Where the index lies, from the segment's size and its last [`Index::TAIL_BYTES`] bytes.
    pub fn range(segment_bytes: u64, tail: &[u8; Self::TAIL_BYTES]) -> Result<std::ops::Range<u64>> {
        let bytes = u64::from_be_bytes(tail[..8].try_into().expect("eight bytes"));
        let end = segment_bytes.checked_sub(Self::TAIL_BYTES as u64);
        let start = end.and_then(|end| end.checked_sub(bytes)).filter(|start| *start >= HEADER_BYTES as u64 + 6);
        match (start, end) {
            (Some(start), Some(end)) => Ok(start..end),
            _ => Err(Error::damaged("the index of the segment is longer than the segment")),
        }
    }

    /// Reads the bytes of an index.
    pub fn from_bytes(mut bytes: &[u8]) -> Result<Self> {
        let mut frames: Vec<Frame> = Vec::new();
        let mut seen = Vec::new();
        let mut end = HEADER_BYTES as u64;
        loop {
            seen.clear();
            let page = varint::take(&mut bytes, &mut seen)?;
            if page == 0 {
                break;
            }
            let (offset, size) = (varint::take(&mut bytes, &mut seen)?, varint::take(&mut bytes, &mut seen)?);
            let last = frames.last().map_or(0, |frame| frame.page);
            match (u32::try_from(page), u32::try_from(size)) {
                (Ok(page), Ok(bytes)) if page > last && offset == end && bytes as usize > FRAME_BYTES => {
                    frames.push(Frame { page, offset, bytes });
                    end += size;
                }
                _ => return Err(Error::damaged(format!("the index of the segment is wrong at page {page}"))),
            }
        }
        if bytes.is_empty() { Ok(Index(frames)) } else { Err(Error::damaged("bytes follow the index's end")) }
    }

    /// Where a page is, if the segment holds it.
    pub fn frame(&self, page: u32) -> Option<Frame> {
        self.0.binary_search_by_key(&page, |frame| frame.page).ok().map(|at| self.0[at])
    }

    /// All frames in the order of their pages.
    pub fn frames(&self) -> &[Frame] {
        &self.0
    }
}

/// The page in the bytes of its frame.
pub fn page_at(frame: Frame, bytes: &[u8], page_size: u32) -> Result<Vec<u8>> {
    let number = bytes.get(..4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    let mut page = vec![0; page_size as usize];
    let block = bytes.get(FRAME_BYTES..).unwrap_or_default();
    match decompress_into(block, &mut page) {
        Ok(n) if n == page.len() && number == Some(frame.page) => Ok(page),
        _ => Err(Error::damaged(format!("page {} cannot be decompressed", frame.page))),
    }
}
