//! Writing a segment: header, pages as they come, then index and trailer.
//!
//! **Invariants**
//! - Pages ascend; none is past the database's end; a base holds every page. What breaks this is refused.
//! - What was written is a segment only after [`Encoder::finish`].

use super::spill::Spill;
use super::sum::Sum;
use super::{END, FRAME_BYTES, FRAME_SIZED, Header, lock_page, varint};
use crate::planted::planted;
use crate::{Error, Result};
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use std::io::Write;
use std::path::Path;

/// Writes one segment.
pub struct Encoder<W: Write> {
    to: W,
    header: Header,
    sum: Sum,
    /// Bytes written.
    offset: u64,
    index: Spill,
    last_page: u32,
    pages: u32,
    table: CompressTable,
    /// Frame header and compressed page.
    frame: Vec<u8>,
}

/// A finished segment.
#[derive(Debug)]
pub struct Encoded<W> {
    /// What it was written to.
    pub to: W,
    /// Bytes of the segment.
    pub bytes: u64,
    /// Pages in it.
    pub pages: u32,
    /// Its checksum, the last eight bytes.
    pub checksum: u64,
}

impl<W: Write> Encoder<W> {
    /// Writes the header.
    pub fn begin(to: W, header: Header) -> Result<Self> {
        header.check().map_err(|e| Error::invalid(e.to_string()))?;
        let frame = vec![0; FRAME_BYTES + get_maximum_output_size(header.page_size as usize)];
        let mut encoder = Encoder {
            to,
            header,
            sum: Sum::new(),
            offset: 0,
            index: Spill::default(),
            last_page: 0,
            pages: 0,
            table: CompressTable::default(),
            frame,
        };
        encoder.put(&header.to_bytes())?;
        Ok(encoder)
    }

    /// Keeps a large index in a nameless file of this folder, not in memory (which takes about 11 bytes a page).
    #[must_use]
    pub fn spilling_to(mut self, folder: &Path) -> Self {
        self.index.to(folder);
        self
    }

    /// Writes a page. Numbers ascend, from 1; the lock page is passed over.
    pub fn page(&mut self, number: u32, bytes: &[u8]) -> Result<()> {
        let lock = lock_page(self.header.page_size);
        if number == lock && !planted!("lock_page_stored") {
            return Ok(());
        }
        if bytes.len() != self.header.page_size as usize {
            return Err(Error::invalid(format!("page {number} has {} bytes", bytes.len())));
        }
        if number <= self.last_page || number > self.header.pages {
            let (last, pages) = (self.last_page, self.header.pages);
            return Err(Error::invalid(format!("page {number} after page {last}, in a file of {pages} pages")));
        }
        let next = self.last_page + if self.last_page + 1 == lock { 2 } else { 1 };
        if self.header.is_base() && number != next {
            return Err(Error::invalid(format!("a base without page {next}")));
        }
        let size = compress_into_with_table(bytes, &mut self.frame[FRAME_BYTES..], &mut self.table)
            .expect("the buffer has the size that the worst page needs");
        let size_u32 = u32::try_from(size).expect("a page is at most 64 KiB");
        self.frame[0..4].copy_from_slice(&number.to_be_bytes());
        self.frame[4..6].copy_from_slice(&FRAME_SIZED.to_be_bytes());
        self.frame[6..10].copy_from_slice(&size_u32.to_be_bytes());
        self.sum.update(&self.frame[..FRAME_BYTES]);
        self.sum.update(bytes);
        let frame = &self.frame[..FRAME_BYTES + size];
        self.to.write_all(frame).map_err(written)?;
        for part in [u64::from(number), self.offset, frame.len() as u64] {
            varint::put(part, self.index.memory());
        }
        self.index.settle()?;
        self.offset += frame.len() as u64;
        self.last_page = number;
        self.pages += 1;
        Ok(())
    }

    /// Writes index and trailer, and flushes.
    pub fn finish(mut self) -> Result<Encoded<W>> {
        let lock = lock_page(self.header.page_size);
        let end = if self.header.pages == lock { lock - 1 } else { self.header.pages };
        if self.header.is_base() && self.last_page != end {
            return Err(Error::invalid(format!("a base of {end} pages ends with page {}", self.last_page)));
        }
        self.put(&END)?;
        self.index.memory().push(0);
        let index_bytes = self.index.len();
        let index = std::mem::take(&mut self.index);
        index.drain(|piece| self.put(piece))?;
        self.put(&index_bytes.to_be_bytes())?;
        self.put(&0u64.to_be_bytes())?; // the database's checksum after: not kept
        let checksum = self.sum.value();
        self.to.write_all(&checksum.to_be_bytes()).map_err(written)?;
        self.to.flush().map_err(written)?;
        Ok(Encoded { to: self.to, bytes: self.offset + 8, pages: self.pages, checksum })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.sum.update(bytes);
        self.to.write_all(bytes).map_err(written)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

fn written(e: std::io::Error) -> Error {
    Error::io("writing a segment", e)
}
