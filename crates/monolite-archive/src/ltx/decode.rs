//! Reading a segment from its beginning to its end.
//!
//! **Invariants**
//! - [`Decoder::next`] answers `None` only after every byte was checked: order, sizes, index, checksum, and that nothing follows.
//! - Pages that were handed out before that are not to be trusted until then.

use super::sum::Sum;
use super::{END, FRAME_BYTES, FRAME_SIZED, HEADER_BYTES, Header, lock_page, varint};
use crate::planted::planted;
use crate::{Error, Result};
use lz4_flex::block::{decompress_into, get_maximum_output_size};
use serde::{Deserialize, Serialize};
use std::io::BufRead;

/// Where a decoder stands between two pages: enough to go on in another process, with every check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    /// Bytes read.
    pub offset: u64,
    sum: u64,
    index: u64,
    index_bytes: u64,
    last_page: u32,
    pages: u32,
}

/// Reads one segment.
pub struct Decoder<R: BufRead> {
    from: R,
    header: Header,
    sum: Sum,
    /// Bytes read.
    offset: u64,
    /// The index as it has to be, by its checksum, so that it takes no memory.
    index: Sum,
    index_bytes: u64,
    last_page: u32,
    pages: u32,
    compressed: Vec<u8>,
    page: Vec<u8>,
    scratch: Vec<u8>,
    ended: bool,
    /// Where it stood before the page that it handed out last.
    before: Stand,
}

impl<R: BufRead> Decoder<R> {
    /// Reads the header.
    pub fn begin(mut from: R) -> Result<Self> {
        let mut bytes = [0; HEADER_BYTES];
        from.read_exact(&mut bytes).map_err(|e| Error::io("reading the header of a segment", e))?;
        let header = Header::from_bytes(&bytes)?;
        let mut sum = Sum::new();
        sum.update(&bytes);
        let (sum, index, offset) = (sum.state(), Sum::new().state(), HEADER_BYTES as u64);
        Ok(Self::resume(from, header, Stand { offset, sum, index, index_bytes: 0, last_page: 0, pages: 0 }))
    }

    /// Goes on where another stood, in a source that is at that offset.
    pub fn resume(from: R, header: Header, stand: Stand) -> Self {
        Decoder {
            from,
            header,
            sum: Sum::from_state(stand.sum),
            offset: stand.offset,
            index: Sum::from_state(stand.index),
            index_bytes: stand.index_bytes,
            last_page: stand.last_page,
            pages: stand.pages,
            before: stand,
            compressed: vec![0; get_maximum_output_size(header.page_size as usize)],
            page: vec![0; header.page_size as usize],
            scratch: Vec::new(),
            ended: false,
        }
    }

    /// Where it stands after the page that it handed out last; none once it has ended.
    pub fn after(&self) -> Option<Stand> {
        (!self.ended).then(|| self.stand())
    }

    /// Where it stood before that page; none once it has ended.
    pub fn before(&self) -> Option<Stand> {
        (!self.ended).then_some(self.before)
    }

    fn stand(&self) -> Stand {
        Stand {
            offset: self.offset,
            sum: self.sum.state(),
            index: self.index.state(),
            index_bytes: self.index_bytes,
            last_page: self.last_page,
            pages: self.pages,
        }
    }

    /// What the segment holds.
    pub fn header(&self) -> Header {
        self.header
    }

    /// Pages read so far.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.offset
    }

    /// The next page, whose bytes are then in [`Decoder::page`]; `None` once the segment was read and is sound.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend the page")]
    pub fn next(&mut self) -> Result<Option<u32>> {
        if self.ended {
            return Ok(None);
        }
        self.before = self.stand();
        let mut frame = [0; FRAME_BYTES];
        self.take(&mut frame[..END.len()])?;
        if frame[..END.len()] == END {
            self.sum.update(&END);
            self.end()?;
            self.ended = true;
            return Ok(None);
        }
        self.take(&mut frame[END.len()..])?;
        let number = u32::from_be_bytes(frame[0..4].try_into().expect("four bytes"));
        let flags = u16::from_be_bytes(frame[4..6].try_into().expect("two bytes"));
        let size = u32::from_be_bytes(frame[6..10].try_into().expect("four bytes")) as usize;
        self.check(number, flags, size)?;
        let start = self.offset - FRAME_BYTES as u64;
        self.from.read_exact(&mut self.compressed[..size]).map_err(read)?;
        self.offset += size as u64;
        match decompress_into(&self.compressed[..size], &mut self.page) {
            Ok(n) if n == self.page.len() => {}
            _ => return Err(Error::damaged(format!("page {number} cannot be decompressed"))),
        }
        self.sum.update(&frame);
        self.sum.update(&self.page);
        self.scratch.clear();
        for part in [u64::from(number), start, self.offset - start] {
            varint::put(part, &mut self.scratch);
        }
        self.index.update(&self.scratch);
        self.index_bytes += self.scratch.len() as u64;
        self.last_page = number;
        self.pages += 1;
        Ok(Some(number))
    }

    /// The bytes of the page that [`Decoder::next`] named.
    pub fn page(&self) -> &[u8] {
        &self.page
    }

    fn check(&self, number: u32, flags: u16, size: usize) -> Result<()> {
        let lock = lock_page(self.header.page_size);
        let next = self.last_page + if self.last_page + 1 == lock { 2 } else { 1 };
        let wrong = if number <= self.last_page {
            format!("page {number} comes after page {}", self.last_page)
        } else if number > self.header.pages || number == lock {
            format!("page {number} cannot be in it")
        } else if flags != FRAME_SIZED || size > self.compressed.len() {
            format!("page {number} has flags {flags:#x} and {size} bytes")
        } else if self.header.is_base() && number != next {
            format!("it is a base without page {next}")
        } else {
            return Ok(());
        };
        Err(Error::damaged(format!("the segment is damaged: {wrong}")))
    }

    /// Index, trailer, and nothing after them.
    fn end(&mut self) -> Result<()> {
        let lock = lock_page(self.header.page_size);
        let end = if self.header.pages == lock { lock - 1 } else { self.header.pages };
        if self.header.is_base() && self.last_page != end {
            return Err(Error::damaged(format!("a base of {end} pages ends with page {}", self.last_page)));
        }
        let (mut index, mut index_bytes) = (Sum::new(), 0u64);
        loop {
            self.scratch.clear();
            let number = varint::take(&mut self.from, &mut self.scratch)?;
            if number != 0 {
                varint::take(&mut self.from, &mut self.scratch)?;
                varint::take(&mut self.from, &mut self.scratch)?;
                index.update(&self.scratch);
            }
            self.sum.update(&self.scratch);
            index_bytes += self.scratch.len() as u64;
            if number == 0 {
                break;
            }
            if index_bytes > self.index_bytes {
                return Err(Error::damaged("the index of the segment names more pages than there are"));
            }
        }
        let mut trailer = [0; 24];
        self.from.read_exact(&mut trailer).map_err(read)?;
        self.offset += index_bytes + 24;
        self.sum.update(&trailer[..16]);
        let said = u64::from_be_bytes(trailer[16..].try_into().expect("eight bytes"));
        if said != self.sum.value() && !planted!("sum_not_checked") {
            return Err(Error::damaged("the segment's checksum is wrong"));
        }
        let said = u64::from_be_bytes(trailer[..8].try_into().expect("eight bytes"));
        if index.value() != self.index.value() || said != index_bytes || index_bytes != self.index_bytes + 1 {
            return Err(Error::damaged("the index of the segment does not fit its pages"));
        }
        if self.from.read(&mut [0]).map_err(read)? != 0 {
            return Err(Error::damaged("bytes follow the end of the segment"));
        }
        Ok(())
    }

    fn take(&mut self, to: &mut [u8]) -> Result<()> {
        self.from.read_exact(to).map_err(read)?;
        self.offset += to.len() as u64;
        Ok(())
    }
}

fn read(e: std::io::Error) -> Error {
    Error::io("reading a segment", e)
}
