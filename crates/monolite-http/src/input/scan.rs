//! The scanner: reads a JSON text once and refuses what a service must never see.
//!
//! It checks UTF-8, syntax, depth, duplicated members at every level, and the message's shape (unknown members, wrong
//! types, missing members) with an exact pointer. It builds no tree; the decoder then reads the same bytes.
//!
//! **Invariants**
//! - No recursion: depth costs memory in proportion, and is bounded.
//! - What passes is valid JSON without duplicated members.
//!
//! Never here: HTTP, values of any size copied.

use super::fault::Fault;
use super::shape::{ANY, Kind, ShapeId, Shapes};
use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// Members compared one by one; an object with more gets a set of hashes.
const COMPARED_MAX: usize = 24;

/// What the scanner reads against.
pub(crate) struct Expected<'a> {
    pub(crate) shapes: &'a Shapes,
    pub(crate) root: ShapeId,
    pub(crate) depth_max: usize,
    /// Members of the outermost object that were given elsewhere: they may not come again, and are not missing.
    pub(crate) given: &'a [&'a str],
}

/// Checks a whole text; for an object, the range of its members between the braces.
pub(crate) fn scan(text: &[u8], expected: &Expected<'_>) -> Result<Option<Range<usize>>, Fault> {
    let text = std::str::from_utf8(text)
        .map_err(|error| Fault::bad_utf8(format!("the body is not UTF-8 at byte {}", error.valid_up_to())))?;
    let mut scanner = Scanner { text: text.as_bytes(), at: 0, frames: Vec::new(), names: Vec::new(), expected };
    scanner.run()
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    frames: Vec<Frame>,
    /// The member names of all open objects, the innermost last.
    names: Vec<Cow<'a, str>>,
    expected: &'a Expected<'a>,
}

struct Frame {
    is_object: bool,
    shape: ShapeId,
    names_from: usize,
    /// Values begun in an array; members begun in an object.
    count: usize,
    /// Hashes of the names, once they are many.
    many: Option<(RandomState, HashSet<u64>)>,
}

impl<'a> Scanner<'a> {
    fn run(&mut self) -> Result<Option<Range<usize>>, Fault> {
        self.space();
        let start = self.at;
        let mut shape = self.expected.root;
        loop {
            // A value begins here.
            let opened = self.value(shape)?;
            if opened && let Some(next) = self.first()? {
                shape = next;
                continue;
            }
            // A value has ended: the next in its container, or the container's end.
            match self.next()? {
                Some(next) => shape = next,
                None => break,
            }
        }
        let end = self.at;
        self.space();
        if self.at < self.text.len() {
            return Err(self.malformed("something follows the value"));
        }
        Ok((self.text[start] == b'{').then_some(start + 1..end - 1))
    }

    /// Reads a scalar whole, or the bracket of a container; true when a container was opened.
    fn value(&mut self, shape: ShapeId) -> Result<bool, Fault> {
        match self.peek() {
            Some(b'{') => self.open(true, shape).map(|()| true),
            Some(b'[') => self.open(false, shape).map(|()| true),
            Some(b'"') => {
                self.at += 1;
                self.fits(shape, "a string", |kind| matches!(kind, Kind::Text | Kind::Uuid))?;
                self.text().map(|_| false)
            }
            Some(b't') => self.word("true", shape, "a boolean", |kind| matches!(kind, Kind::Bool)),
            Some(b'f') => self.word("false", shape, "a boolean", |kind| matches!(kind, Kind::Bool)),
            Some(b'n') => {
                if self.expected.shapes.at(shape).nullable {
                    self.word("null", ANY, "null", |_| true)
                } else {
                    self.word("null", shape, "null", |kind| matches!(kind, Kind::Null))
                }
            }
            Some(b'-' | b'0'..=b'9') => {
                if self.number()? {
                    self.fits(shape, "an integer", |kind| matches!(kind, Kind::Integer | Kind::Number))?;
                } else {
                    self.fits(shape, "a number with a fraction", |kind| matches!(kind, Kind::Number))?;
                }
                Ok(false)
            }
            Some(_) => Err(self.malformed("a value was expected")),
            None => Err(self.malformed("the text ends where a value was expected")),
        }
    }

    fn open(&mut self, is_object: bool, shape: ShapeId) -> Result<(), Fault> {
        if self.frames.len() >= self.expected.depth_max {
            let depth_max = self.expected.depth_max;
            return Err(Fault::at(self.pointer(), "too_deep", format!("nested deeper than {depth_max}")));
        }
        if is_object {
            self.fits(shape, "an object", |kind| matches!(kind, Kind::Object(_)))?;
        } else {
            self.fits(shape, "an array", |kind| matches!(kind, Kind::Array(_)))?;
        }
        self.at += 1;
        self.frames.push(Frame { is_object, shape, names_from: self.names.len(), count: 0, many: None });
        Ok(())
    }

    /// After an opening bracket: the shape of the first value, or nothing when the container is empty (and closed).
    fn first(&mut self) -> Result<Option<ShapeId>, Fault> {
        self.space();
        let is_object = self.frames.last().is_some_and(|frame| frame.is_object);
        match (is_object, self.peek()) {
            (true, Some(b'}')) | (false, Some(b']')) => self.close().map(|()| None),
            (true, _) => self.member().map(Some),
            (false, _) => Ok(Some(self.element())),
        }
    }

    /// After a value: the shape of the next one, or nothing when the outermost value has ended.
    fn next(&mut self) -> Result<Option<ShapeId>, Fault> {
        loop {
            let Some(frame) = self.frames.last() else { return Ok(None) };
            let is_object = frame.is_object;
            self.space();
            match (is_object, self.peek()) {
                (_, Some(b',')) => {
                    self.at += 1;
                    self.space();
                    return if is_object { self.member().map(Some) } else { Ok(Some(self.element())) };
                }
                (true, Some(b'}')) | (false, Some(b']')) => self.close()?,
                (true, _) => return Err(self.malformed("a comma or a closing brace was expected")),
                (false, _) => return Err(self.malformed("a comma or a closing bracket was expected")),
            }
        }
    }

    fn element(&mut self) -> ShapeId {
        let frame = self.frames.last_mut().expect("an element is inside an array");
        frame.count += 1;
        match self.expected.shapes.at(frame.shape).kind {
            Kind::Array(items) => items,
            _ => ANY,
        }
    }

    /// Reads a member's name and colon; the shape of its value.
    fn member(&mut self) -> Result<ShapeId, Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed("a member's name was expected"));
        }
        self.at += 1;
        let name = self.text()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.malformed("a colon was expected"));
        }
        self.at += 1;
        self.space();
        let frame = self.frames.last().expect("a member is inside an object");
        let shape = match &self.expected.shapes.at(frame.shape).kind {
            Kind::Object(members) => match members.find(&name).or(members.rest) {
                Some(shape) => shape,
                None => return Err(Fault::at(self.inside(&name), "unknown_field", "is not a field".to_owned())),
            },
            _ => ANY,
        };
        if self.is_again(&name) {
            return Err(Fault::at(self.inside(&name), "duplicate_field", "is given twice".to_owned()));
        }
        let frame = self.frames.last_mut().expect("a member is inside an object");
        frame.count += 1;
        self.names.push(name);
        Ok(shape)
    }

    fn is_again(&mut self, name: &str) -> bool {
        if self.frames.len() == 1 && self.expected.given.contains(&name) {
            return true;
        }
        let Some(frame) = self.frames.last_mut() else { return false };
        let names = &self.names[frame.names_from..];
        if let Some((state, seen)) = &mut frame.many {
            // Only the last name is kept beside the hashes, for pointers.
            self.names.truncate(frame.names_from);
            return !seen.insert(state.hash_one(name));
        }
        if names.len() < COMPARED_MAX {
            return names.iter().any(|known| known == name);
        }
        let state = RandomState::new();
        let mut seen: HashSet<u64> = names.iter().map(|known| state.hash_one(known.as_ref())).collect();
        let again = !seen.insert(state.hash_one(name));
        frame.many = Some((state, seen));
        again
    }

    fn close(&mut self) -> Result<(), Fault> {
        self.at += 1;
        let frame = self.frames.last().expect("a bracket closes what was opened");
        if let Kind::Object(members) = &self.expected.shapes.at(frame.shape).kind {
            let is_root = self.frames.len() == 1;
            let missing = members.required.iter().find(|name| {
                let given = is_root && self.expected.given.contains(&name.as_ref());
                let seen = match &frame.many {
                    Some((state, seen)) => seen.contains(&state.hash_one(name.as_ref())),
                    None => self.names[frame.names_from..].iter().any(|known| **known == ***name),
                };
                !given && !seen
            });
            if let Some(name) = missing {
                self.names.truncate(frame.names_from);
                return Err(Fault::at(self.inside(name), "missing_field", "is required".to_owned()));
            }
        }
        self.names.truncate(frame.names_from);
        self.frames.pop();
        Ok(())
    }

    fn fits(&self, shape: ShapeId, found: &str, fits: impl Fn(&Kind) -> bool) -> Result<(), Fault> {
        let kind = &self.expected.shapes.at(shape).kind;
        if matches!(kind, Kind::Any) || fits(kind) {
            return Ok(());
        }
        Err(Fault::at(self.pointer(), "wrong_type", format!("{} was expected, not {found}", kind.name())))
    }

    fn word(&mut self, word: &str, shape: ShapeId, found: &str, fits: impl Fn(&Kind) -> bool) -> Result<bool, Fault> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(self.malformed("a value was expected"));
        }
        self.at += word.len();
        self.fits(shape, found, fits).map(|()| false)
    }

    /// Reads a number; true when it has neither a fraction nor an exponent.
    fn number(&mut self) -> Result<bool, Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.malformed("a digit was expected")),
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            whole = false;
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(whole)
    }

    fn some_digits(&mut self) -> Result<(), Fault> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.malformed("a digit was expected"));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    /// Reads a string after its opening quote; borrowed unless it has escapes.
    fn text(&mut self) -> Result<Cow<'a, str>, Fault> {
        let (text, start) = (self.text, self.at);
        let mut escaped = false;
        loop {
            match text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0..=0x1f) => return Err(self.malformed("a control character in a string")),
                Some(_) => self.at += 1,
                None => return Err(self.malformed("the text ends inside a string")),
            }
        }
        let end = self.at;
        self.at += 1;
        // The whole text is UTF-8, and quotes are whole characters.
        let raw = std::str::from_utf8(&text[start..end]).expect("a part between two quotes of UTF-8 is UTF-8");
        if !escaped {
            return Ok(Cow::Borrowed(raw));
        }
        let quoted = std::str::from_utf8(&text[start - 1..=end]).expect("the same with its quotes");
        serde_json::from_str::<String>(quoted).map(Cow::Owned).map_err(|_| self.malformed("a string has a bad escape"))
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u')
                if self.text.get(self.at + 2..self.at + 6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) =>
            {
                self.at += 6;
            }
            _ => return Err(self.malformed("a string has a bad escape")),
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn malformed(&self, what: &str) -> Fault {
        Fault::malformed(format!("{what}, at byte {}", self.at))
    }

    /// The pointer of the value that is being read.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for (n, frame) in self.frames.iter().enumerate() {
            if frame.is_object {
                let until = self.frames.get(n + 1).map_or(self.names.len(), |inner| inner.names_from);
                if let Some(name) = self.names[frame.names_from..until].last() {
                    push_token(&mut pointer, name);
                }
            } else {
                push_token(&mut pointer, &frame.count.saturating_sub(1).to_string());
            }
        }
        pointer
    }

    /// The pointer of a member of the innermost object that is not (yet) among the names.
    fn inside(&self, name: &str) -> String {
        let mut pointer = String::new();
        for (n, frame) in self.frames.iter().enumerate().take(self.frames.len().saturating_sub(1)) {
            if frame.is_object {
                let until = self.frames[n + 1].names_from;
                if let Some(name) = self.names[frame.names_from..until].last() {
                    push_token(&mut pointer, name);
                }
            } else {
                push_token(&mut pointer, &frame.count.saturating_sub(1).to_string());
            }
        }
        push_token(&mut pointer, name);
        pointer
    }
}

/// Adds one reference token of RFC 6901.
pub(crate) fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    for c in token.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}
