//! The outline of one JSON value: where it ends, whatever its bytes say.
//!
//! Fed with pieces of input it says after each whether the value has ended. It knows strings and brackets, no more:
//! whether the value is well formed is for a parser, which then meets one value and not the rest of the input.

/// Nesting whose kinds of brackets are remembered; what is deeper is only counted.
const KINDS_MAX: u32 = 128;

/// How a value goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All bytes of the piece belong to the value, which has not ended.
    More,
    /// The value ends after so many bytes of the piece.
    End(usize),
    /// A bracket closes what another kind of bracket opened, at this byte of the piece.
    Mismatch(usize),
    /// The line ends inside the value, at this byte of the piece; only where values are lines.
    LineEnd(usize),
}

/// What a value is that meets the end of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AtEnd {
    /// Nothing that is longer begins with it.
    Whole,
    /// Its end is missing.
    Cut,
    /// A number: `12` is whole, and the beginning of `123`.
    Unknown,
}

/// What has been seen of a value.
#[derive(Debug, Default)]
pub(super) struct Outline {
    begun: bool,
    /// The first byte of a word or a number.
    scalar: Option<u8>,
    in_string: bool,
    escaped: bool,
    depth: u32,
    /// A bit for each open bracket, set for `{`.
    kinds: u128,
    one_line: bool,
    has_lines: bool,
}

impl Outline {
    /// An outline; where `one_line`, the value must end on its line.
    pub(super) fn new(one_line: bool) -> Self {
        Outline { one_line, ..Outline::default() }
    }

    /// Whether the value went over an end of line.
    pub(super) fn has_lines(&self) -> bool {
        self.has_lines
    }

    /// What the value is where the input ends now.
    pub(super) fn at_end(&self) -> AtEnd {
        match self.scalar {
            None => AtEnd::Cut,
            Some(b'-' | b'0'..=b'9') => AtEnd::Unknown,
            Some(_) => AtEnd::Whole,
        }
    }

    /// Looks at the next piece of the input.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Progress {
        let mut at = 0;
        while at < piece.len() {
            if self.in_string {
                at += self.string(&piece[at..]);
                if self.in_string && at < piece.len() {
                    return Progress::LineEnd(at); // the only reason to stop inside a string
                }
                if !self.in_string && self.depth == 0 {
                    return Progress::End(at);
                }
                continue;
            }
            let byte = piece[at];
            if self.scalar.is_some() {
                if matches!(byte, b',' | b']' | b'}' | b'{' | b'[' | b'"' | b':') || byte.is_ascii_whitespace() {
                    return Progress::End(at);
                }
                at += 1;
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.open(byte == b'{'),
                b'}' | b']' if self.depth == 0 => return Progress::Mismatch(at),
                b'}' | b']' => {
                    if !self.close(byte == b'}') {
                        return Progress::Mismatch(at);
                    }
                    if self.depth == 0 {
                        return Progress::End(at + 1);
                    }
                }
                b'\n' if self.one_line => return Progress::LineEnd(at),
                b'\n' => self.has_lines = true,
                _ if !self.begun => self.scalar = Some(byte),
                _ => {}
            }
            self.begun = true;
            at += 1;
        }
        Progress::More
    }

    /// Steps over the bytes of a string; stops behind its end, or at an end of line where values are lines.
    fn string(&mut self, piece: &[u8]) -> usize {
        for (at, byte) in piece.iter().enumerate() {
            if std::mem::take(&mut self.escaped) {
                continue;
            }
            match byte {
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    return at + 1;
                }
                b'\n' if self.one_line => return at,
                b'\n' => self.has_lines = true,
                _ => {}
            }
        }
        piece.len()
    }

    fn open(&mut self, is_object: bool) {
        if self.depth < KINDS_MAX {
            let bit = 1_u128 << self.depth;
            self.kinds = if is_object { self.kinds | bit } else { self.kinds & !bit };
        }
        self.depth += 1;
    }

    fn close(&mut self, is_object: bool) -> bool {
        self.depth -= 1;
        self.depth >= KINDS_MAX || (self.kinds >> self.depth & 1 == 1) == is_object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_its_brackets_and_strings_do() {
        let check = |text: &str, progress: Progress| {
            assert_eq!(Outline::new(false).feed(text.as_bytes()), progress, "{text}");
        };
        check(r#"{"a":[1,"]}"]} rest"#, Progress::End(14));
        check(r#""a\"b",1"#, Progress::End(6));
        check("12, 13", Progress::End(2));
        check("true]", Progress::End(4));
        check("12", Progress::More);
        check(r#"{"a":1"#, Progress::More);
        check("[1}", Progress::Mismatch(2));
        check("]", Progress::Mismatch(0));
        check("{\n}", Progress::End(3));
    }

    #[test]
    fn any_cut_into_pieces_gives_the_same_end() {
        let text = r#"{"k\\":["\"",{"x":"\u0022}"}],"n":-1.5e3}tail"#;
        for cut in 1..text.len() {
            let mut outline = Outline::new(true);
            let mut before = 0;
            let end = text.as_bytes().chunks(cut).find_map(|piece| match outline.feed(piece) {
                Progress::End(n) => Some(before + n),
                Progress::More => {
                    before += piece.len();
                    None
                }
                other => panic!("{other:?}"),
            });
            assert_eq!(end, Some(text.len() - 4), "cut {cut}");
        }
    }

    #[test]
    fn a_line_ends_inside_a_value_only_where_values_are_lines() {
        assert_eq!(Outline::new(true).feed(b"{\"a\":\n"), Progress::LineEnd(5));
        assert_eq!(Outline::new(true).feed(b"{\"a\n"), Progress::LineEnd(3));
        assert_eq!(Outline::new(false).feed(b"{\"a\n"), Progress::More);
    }

    #[test]
    fn an_end_of_line_right_behind_a_string_does_not_end_the_value() {
        assert_eq!(Outline::new(false).feed(b"{\n\"a\": \"b\"\n}"), Progress::End(12));
        assert_eq!(Outline::new(false).feed(b"[\n \"x\"\n]"), Progress::End(8));
        assert_eq!(Outline::new(false).feed(b"\"a\"\n"), Progress::End(3));
        assert_eq!(Outline::new(true).feed(b"\"a\"\n"), Progress::End(3));
    }

    #[test]
    fn depth_beyond_what_is_remembered_is_counted() {
        let text = format!("{}{}x", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(Outline::new(false).feed(text.as_bytes()), Progress::End(200_000));
    }
}
