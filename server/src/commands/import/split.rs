//! The splitter: a stream of JSON becomes a stream of documents, one at a time in memory.
//!
//! The input is any sequence of JSON values: one, or many (NDJSON). Without a path a value that is an array gives its
//! elements, any other gives itself; with a path the same holds for the member found there in each value.
//!
//! **Invariants**
//! - Memory is bounded by the largest document allowed, also where the input is one array of gigabytes, or garbage.
//! - A number at the very end of the input is a document only with a blank or a new line behind it.
//! - A broken document does not touch its neighbours where they can be told apart: on other lines, or in an array
//!   whose brackets fit. Where they cannot, the splitter stops and says at which byte.
//!
//! Never here: whether a document is well formed inside.

use super::outline::{AtEnd, Outline, Progress};
use super::source::{Place, Source};
use std::io::{self, Read};

/// How often a broken value may be given up for the next line before it is known that values are lines.
const GUESSES_MAX: u32 = 8;

/// RFC 7464 decides so too: what is dropped can be sent again, what is wrong cannot be told from what is right.
const LAST_NUMBER: &str =
    "is a number that ends with the input, which may have cut it off: end the input with a new line";

/// A document as it stands in the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Where it begins.
    pub(crate) place: Place,
    /// Its text; or why it has none.
    pub(crate) text: Result<Vec<u8>, String>,
}

/// Why the splitter stopped before the end.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// Where.
    pub(crate) place: Place,
    /// Why.
    pub(crate) why: String,
}

/// Where in the structure the next byte stands.
#[derive(Debug, Clone, Copy)]
enum Position {
    /// Between values of the input.
    Top,
    /// In the object at this depth of the path.
    Members { level: usize, first: bool },
    /// In the array whose elements are documents.
    Elements { first: bool },
}

/// Whether each value of the input stands on a line of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    Unknown,
    Yes,
    No,
}

/// Splits an input into documents.
pub(crate) struct Splitter<R> {
    source: Source<R>,
    path: Vec<String>,
    bytes_max: usize,
    position: Position,
    lines: Lines,
    guesses: u32,
    number: u64,
    found_path: bool,
}

impl<R: Read> Splitter<R> {
    /// The documents at a path (empty: the values themselves), each of at most so many bytes.
    pub(crate) fn new(input: R, path: Vec<String>, bytes_max: usize) -> Self {
        Splitter {
            source: Source::new(input),
            found_path: path.is_empty(),
            path,
            bytes_max,
            position: Position::Top,
            lines: Lines::Unknown,
            guesses: 0,
            number: 0,
        }
    }

    /// How many bytes were read.
    pub(crate) fn offset(&self) -> u64 {
        self.source.place().offset
    }

    /// The next document; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, Stopped> {
        loop {
            self.source.skip_space().map_err(|e| self.unreadable(&e))?;
            let next = self.peek()?;
            let piece = match (self.position, next) {
                (Position::Top, None) if self.found_path => return Ok(None),
                (Position::Top, None) => {
                    return Err(self.stop(format!("the input has no member .{}", self.path.join("."))));
                }
                (Position::Top, Some(byte)) => self.top(byte)?,
                (_, None) => return Err(self.stop("the input ends inside a value")),
                (Position::Members { level, first }, Some(byte)) => self.member(level, first, byte)?,
                (Position::Elements { first }, Some(byte)) => self.element(first, byte)?,
            };
            if piece.is_some() {
                return Ok(piece);
            }
        }
    }

    /// Whether nothing but blanks is left; waits for the input to tell.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.source.skip_space().is_err() || matches!(self.peek(), Ok(None))
    }

    fn top(&mut self, byte: u8) -> Result<Option<Piece>, Stopped> {
        if byte == 0xEF && self.offset() == 0 && self.source.ready().is_ok_and(|r| r.starts_with(b"\xEF\xBB\xBF")) {
            self.source.step(3);
            return Ok(None);
        }
        if self.path.is_empty() {
            if byte == b'[' {
                self.source.step(1);
                self.position = Position::Elements { first: true };
                return Ok(None);
            }
            return self.document(true).map(Some);
        }
        if byte != b'{' {
            return Err(self.stop(format!("an object with the member .{} should be here", self.path.join("."))));
        }
        self.source.step(1);
        self.position = Position::Members { level: 0, first: true };
        Ok(None)
    }

    fn member(&mut self, level: usize, first: bool, byte: u8) -> Result<Option<Piece>, Stopped> {
        if byte == b'}' {
            self.source.step(1);
            self.leave(level);
            return Ok(None);
        }
        if !first {
            self.expect(b',')?;
        }
        let name = self.name()?;
        self.expect(b':')?;
        self.source.skip_space().map_err(|e| self.unreadable(&e))?;
        self.position = Position::Members { level, first: false };
        let (wanted, last) = (name == self.path[level], level + 1 == self.path.len());
        match (wanted, self.peek()?) {
            (true, Some(b'[')) if last => {
                self.source.step(1);
                self.found_path = true;
                self.position = Position::Elements { first: true };
                Ok(None)
            }
            (true, _) if last => {
                self.found_path = true;
                self.document(false).map(Some)
            }
            (true, Some(b'{')) => {
                self.source.step(1);
                self.position = Position::Members { level: level + 1, first: true };
                Ok(None)
            }
            _ => self.skip_value().map(|()| None),
        }
    }

    fn element(&mut self, first: bool, byte: u8) -> Result<Option<Piece>, Stopped> {
        if byte == b']' {
            self.source.step(1);
            match self.path.len() {
                0 => self.position = Position::Top,
                depth => self.position = Position::Members { level: depth - 1, first: false },
            }
            return Ok(None);
        }
        if !first {
            self.expect(b',')?;
            self.source.skip_space().map_err(|e| self.unreadable(&e))?;
        }
        self.position = Position::Elements { first: false };
        self.document(false).map(Some)
    }

    fn leave(&mut self, level: usize) {
        self.position = match level {
            0 => Position::Top,
            level => Position::Members { level: level - 1, first: false },
        };
    }

    /// Takes the value that begins here as a document.
    fn document(&mut self, top: bool) -> Result<Piece, Stopped> {
        let place = self.source.place();
        let mut kept = Vec::new();
        let mut outline = Outline::new(top && self.lines == Lines::Yes);
        let ended = self.run(&mut outline, Some(&mut kept), top);
        self.number += 1;
        let piece = |text| Piece { number: self.number, place, text };
        let whole = match ended {
            Ok(()) if kept.len() > self.bytes_max => {
                Err(format!("is larger than {}", monolite::size(self.bytes_max as u64)))
            }
            Ok(()) => Ok(kept),
            Err(Broken::Input(e)) => return Err(self.unreadable(&e)),
            Err(Broken::Value(why)) if top => {
                let piece = piece(Err(why.to_owned()));
                self.next_line(&kept)?;
                return Ok(piece);
            }
            Err(Broken::Value(why)) => return Err(Stopped { place, why: format!("document {} {why}", self.number) }),
        };
        let piece = piece(whole);
        if top && self.lines == Lines::Unknown {
            self.lines = if outline.has_lines() { Lines::No } else { Lines::Yes };
        }
        Ok(piece)
    }

    /// After a broken value: goes on with the next line that begins one.
    fn next_line(&mut self, kept: &[u8]) -> Result<(), Stopped> {
        if self.lines != Lines::Yes {
            self.guesses += 1;
            if self.guesses > GUESSES_MAX {
                return Err(self.stop("too much of the input is broken to tell where the next document begins"));
            }
            if let Some(end) = kept.iter().position(|b| *b == b'\n') {
                self.source.put_back(&kept[end + 1..]);
            } else {
                self.source.skip_line().map_err(|e| self.unreadable(&e))?;
            }
        } else {
            self.source.skip_line().map_err(|e| self.unreadable(&e))?;
        }
        while !matches!(self.peek()?, None | Some(b'{' | b'[')) {
            self.source.skip_line().map_err(|e| self.unreadable(&e))?;
        }
        Ok(())
    }

    fn skip_value(&mut self) -> Result<(), Stopped> {
        match self.run(&mut Outline::new(false), None, false) {
            Ok(()) => Ok(()),
            Err(Broken::Input(e)) => Err(self.unreadable(&e)),
            Err(Broken::Value(why)) => Err(self.stop(format!("a value {why}"))),
        }
    }

    /// Follows a value to its end; keeps its text as far as a document may be long, and one byte more.
    fn run(&mut self, outline: &mut Outline, mut kept: Option<&mut Vec<u8>>, top: bool) -> Result<(), Broken> {
        let keep_max = self.bytes_max + 1;
        loop {
            let ready = self.source.ready().map_err(Broken::Input)?;
            if ready.is_empty() {
                return match outline.at_end() {
                    AtEnd::Whole => Ok(()),
                    AtEnd::Cut => Err(Broken::Value("is cut off by the end of the input")),
                    AtEnd::Unknown => Err(Broken::Value(LAST_NUMBER)),
                };
            }
            let progress = outline.feed(ready);
            let (count, done) = match progress {
                Progress::More => (ready.len(), None),
                Progress::End(0) => (0, Some(Err(Broken::Value("is no JSON value")))),
                Progress::End(count) => (count, Some(Ok(()))),
                Progress::Mismatch(count) => (count, Some(Err(Broken::Value("has brackets that do not fit")))),
                Progress::LineEnd(count) => (count, Some(Err(Broken::Value("is cut off by the end of its line")))),
            };
            if let Some(kept) = kept.as_deref_mut() {
                let room = keep_max.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(&ready[..room]);
                // A broken first value may have swallowed the lines after it.
                let swallows = top && room < count && holds_a_new_line(kept);
                if swallows && done.is_none() && self.lines != Lines::No {
                    self.source.step(room);
                    return Err(Broken::Value("does not end, or is too large"));
                }
            }
            self.source.step(count);
            if let Some(done) = done {
                return done;
            }
        }
    }

    /// A member's name, its escapes resolved.
    fn name(&mut self) -> Result<String, Stopped> {
        self.source.skip_space().map_err(|e| self.unreadable(&e))?;
        if self.peek()? != Some(b'"') {
            return Err(self.stop("a member's name should be here"));
        }
        let mut kept = Vec::new();
        match self.run(&mut Outline::new(false), Some(&mut kept), false) {
            Ok(()) => {}
            Err(Broken::Input(e)) => return Err(self.unreadable(&e)),
            Err(Broken::Value(why)) => return Err(self.stop(format!("a member's name {why}"))),
        }
        serde_json::from_slice(&kept).map_err(|_| self.stop("a member's name is no JSON string"))
    }

    fn expect(&mut self, byte: u8) -> Result<(), Stopped> {
        self.source.skip_space().map_err(|e| self.unreadable(&e))?;
        if self.peek()? != Some(byte) {
            return Err(self.stop(format!("a {:?} should be here", byte as char)));
        }
        self.source.step(1);
        Ok(())
    }

    fn peek(&mut self) -> Result<Option<u8>, Stopped> {
        self.source.peek().map_err(|e| self.unreadable(&e))
    }

    fn stop(&self, why: impl Into<String>) -> Stopped {
        Stopped { place: self.source.place(), why: why.into() }
    }

    fn unreadable(&self, e: &io::Error) -> Stopped {
        self.stop(format!("the input cannot be read: {e}"))
    }
}

enum Broken {
    Input(io::Error),
    Value(&'static str),
}

fn holds_a_new_line(kept: &[u8]) -> bool {
    kept.windows(2).any(|pair| pair[0] == b'\n' && matches!(pair[1], b'{' | b'['))
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
