//! The bytes of an import: one pass over a reader, with the place of each byte.
//!
//! **Invariants**
//! - Memory is one chunk, and what is put back after a broken value.

use std::io::{self, ErrorKind, Read};

const CHUNK_BYTES: usize = 256 << 10;

/// A place in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Bytes before it.
    pub(crate) offset: u64,
    /// Its line, from 1.
    pub(crate) line: u64,
}

/// A reader with places.
pub(super) struct Source<R> {
    input: R,
    chunk: Vec<u8>,
    at: usize,
    end: usize,
    place: Place,
}

impl<R: Read> Source<R> {
    pub(super) fn new(input: R) -> Self {
        Source { input, chunk: vec![0; CHUNK_BYTES], at: 0, end: 0, place: Place { offset: 0, line: 1 } }
    }

    /// Where the next byte stands.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// What lies ready, read from the input where nothing did; empty at its end.
    pub(super) fn ready(&mut self) -> io::Result<&[u8]> {
        if self.at == self.end {
            self.at = 0;
            self.end = loop {
                match self.input.read(&mut self.chunk) {
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    other => break other?,
                }
            };
        }
        Ok(&self.chunk[self.at..self.end])
    }

    /// The next byte, left where it is.
    pub(super) fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.ready()?.first().copied())
    }

    /// Steps over bytes that lie ready.
    pub(super) fn step(&mut self, count: usize) {
        let over = &self.chunk[self.at..self.at + count];
        self.place.line += over.iter().filter(|b| **b == b'\n').count() as u64;
        self.place.offset += count as u64;
        self.at += count;
    }

    /// Puts bytes back that were stepped over last.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        self.place.line -= bytes.iter().filter(|b| **b == b'\n').count() as u64;
        self.place.offset -= bytes.len() as u64;
        if self.at >= bytes.len() {
            self.at -= bytes.len();
            return;
        }
        let mut chunk = bytes.to_vec();
        chunk.extend_from_slice(&self.chunk[self.at..self.end]);
        (self.at, self.end) = (0, chunk.len());
        chunk.resize(chunk.len().max(CHUNK_BYTES), 0);
        self.chunk = chunk;
    }

    /// Steps over white space.
    pub(super) fn skip_space(&mut self) -> io::Result<()> {
        loop {
            let ready = self.ready()?;
            let count = ready.iter().take_while(|b| b.is_ascii_whitespace()).count();
            let all = count == ready.len();
            self.step(count);
            if !all || count == 0 {
                return Ok(());
            }
        }
    }

    /// Steps over the rest of the line and its end.
    pub(super) fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let ready = self.ready()?;
            match ready.iter().position(|b| *b == b'\n') {
                Some(end) => {
                    self.step(end + 1);
                    return Ok(());
                }
                None if ready.is_empty() => return Ok(()),
                None => {
                    let count = ready.len();
                    self.step(count);
                }
            }
        }
    }
}
