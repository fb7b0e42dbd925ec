//! Something in a place as a stream, by ranges.
//!
//! **Invariants**
//! - One range is in memory, no more.

use super::Place;
use crate::Result;
use std::io::{BufRead, Read};
use std::sync::Arc;

/// Reads from a place, a range at a time.
#[derive(Debug)]
pub struct Reader {
    place: Arc<dyn Place>,
    name: String,
    /// Bytes of a range.
    range: usize,
    /// Where the next range begins.
    next: u64,
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Reader {
    /// Reads `name` in ranges of that many bytes.
    pub fn new(place: Arc<dyn Place>, name: impl Into<String>, range: usize) -> Self {
        Reader { place, name: name.into(), range: range.max(1), next: 0, buffer: Vec::new(), at: 0, ended: false }
    }

    /// The same from a byte on.
    pub fn from(self, offset: u64) -> Self {
        Reader { next: offset, ..self }
    }

    fn fill(&mut self) -> Result<()> {
        self.buffer.clear();
        self.at = 0;
        self.place.read(&self.name, self.next, self.range, &mut self.buffer)?;
        self.next += self.buffer.len() as u64;
        self.ended = self.buffer.len() < self.range;
        Ok(())
    }
}

impl BufRead for Reader {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.at == self.buffer.len() && !self.ended {
            self.fill()?;
        }
        Ok(&self.buffer[self.at..])
    }

    fn consume(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.buffer.len());
    }
}

impl Read for Reader {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let there = self.fill_buf()?;
        let n = there.len().min(to.len());
        to[..n].copy_from_slice(&there[..n]);
        self.consume(n);
        Ok(n)
    }
}
