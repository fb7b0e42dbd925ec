//! Heads as they come over the wire: finds a request that says its length twice, in two ways.
//!
//! hyper drops `Content-Length` where `Transfer-Encoding` is there too, as RFC 9112 lets it. Whoever stands before us may
//! believe the other one, and then what is a body to one is a request to the other (request smuggling); so such a
//! request is refused, and since the parsed head does not show it any more, it is found here.
//!
//! **Invariants**
//! - Heads are told from bodies by `Content-Length` alone. After a request with `Transfer-Encoding` nothing is looked at
//!   any more, so its connection must end with it.
//! - The state is of fixed size, and it does not matter where the bytes were cut.
//!
//! Never here: whether a head is good HTTP, which hyper decides.

use std::io::BufRead;

/// Bytes of a line that are kept: the longest name that matters, and a length of any sense.
const LINE_KEPT: usize = 64;
const LENGTH: &[u8] = b"content-length:";
const ENCODING: &[u8] = b"transfer-encoding:";

/// Follows what a connection reads.
#[derive(Debug)]
pub(super) struct Heads {
    at: At,
    line: [u8; LINE_KEPT],
    line_length: usize,
    /// Heads that ended.
    ended: u64,
    has_line: bool,
    has_encoding: bool,
    length: Option<Length>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Head,
    /// So many bytes are a body's.
    Body(u64),
    /// Nothing more can be told from here on.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Said(u64),
    Senseless,
}

impl Default for Heads {
    fn default() -> Self {
        Heads {
            at: At::Head,
            line: [0; LINE_KEPT],
            line_length: 0,
            ended: 0,
            has_line: false,
            has_encoding: false,
            length: None,
        }
    }
}

impl Heads {
    /// Takes the next bytes; answers the number of the head (from 1) that says its length in two ways, if one does.
    pub(super) fn see(&mut self, mut bytes: &[u8]) -> Option<u64> {
        while !bytes.is_empty() {
            match self.at {
                At::Unknown => return None,
                At::Body(left) => {
                    let skipped = left.min(bytes.len() as u64);
                    bytes = &bytes[usize::try_from(skipped).unwrap_or(bytes.len())..];
                    self.at = if skipped == left { At::Head } else { At::Body(left - skipped) };
                }
                At::Head => {
                    let all = bytes;
                    let taken = bytes.skip_until(b'\n').expect("reading from memory cannot fail");
                    let is_whole = all[taken - 1] == b'\n';
                    self.keep(&all[..taken - usize::from(is_whole)]);
                    if is_whole && self.line() {
                        return Some(self.ended);
                    }
                }
            }
        }
        None
    }

    fn keep(&mut self, part: &[u8]) {
        if self.line_length < LINE_KEPT {
            let kept = part.len().min(LINE_KEPT - self.line_length);
            self.line[self.line_length..self.line_length + kept].copy_from_slice(&part[..kept]);
        }
        self.line_length += part.len();
    }

    /// A line has ended; true when with it a head that says its length in two ways.
    fn line(&mut self) -> bool {
        let kept = &self.line[..self.line_length.min(LINE_KEPT)];
        let is_cut = self.line_length > LINE_KEPT;
        self.line_length = 0;
        let is_empty = kept.is_empty() || kept == b"\r";
        if is_empty && !self.has_line {
            return false; // empty lines before a request are nothing
        }
        if is_empty {
            return self.head();
        }
        self.has_line = true;
        match kept[0] {
            b't' | b'T' if begins(kept, ENCODING) => self.has_encoding = true,
            b'c' | b'C' if begins(kept, LENGTH) => {
                let text = std::str::from_utf8(&kept[LENGTH.len()..]).unwrap_or_default().trim();
                let said = text.parse().ok().filter(|_| !is_cut && text.bytes().all(|b| b.is_ascii_digit()));
                self.length = Some(said.map_or(Length::Senseless, Length::Said));
            }
            _ => {}
        }
        false
    }

    fn head(&mut self) -> bool {
        self.ended += 1;
        self.has_line = false;
        let (has_encoding, length) = (std::mem::take(&mut self.has_encoding), self.length.take());
        self.at = match length {
            _ if has_encoding => At::Unknown,
            Some(Length::Said(length)) => At::Body(length),
            Some(Length::Senseless) => At::Unknown,
            None => At::Head,
        };
        length == Some(Length::Senseless) || has_encoding && length.is_some()
    }
}

fn begins(line: &[u8], name: &[u8]) -> bool {
    line.len() >= name.len() && line[..name.len()].eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(bytes: &[u8]) -> Option<u64> {
        Heads::default().see(bytes)
    }

    const PLAIN: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    const BODY: &str = "POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\ntransfer-encoding: a\r\n\r\nabcdef";
    const BOTH: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncontent-LENGTH:4\r\n\r\n";
    const CHUNKED: &str = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";

    #[test]
    fn a_head_with_both_is_found_wherever_it_stands() {
        assert_eq!(found(BOTH.as_bytes()), Some(1));
        assert_eq!(found(b"POST / HTTP/1.1\ncontent-length: 4\ntransfer-encoding: chunked\n\n"), Some(1));
        assert_eq!(found(format!("\r\n{PLAIN}{BODY}{PLAIN}{BOTH}").as_bytes()), Some(4));
    }

    #[test]
    fn one_of_the_two_is_fine_and_so_is_what_only_looks_like_it() {
        for good in [PLAIN, BODY, CHUNKED, "GET / HTTP/1.1\r\nx-transfer-encoding: y\r\ncontent-length: 0\r\n\r\n"] {
            assert_eq!(found(good.as_bytes()), None, "{good}");
        }
        assert_eq!(found(format!("{BODY}{BODY}{PLAIN}").as_bytes()), None);
    }

    #[test]
    fn a_length_that_hides_behind_blanks_or_signs_is_refused() {
        let blanks = " ".repeat(100);
        for length in [format!("{blanks}5"), "+5".into(), "5, 5".into(), String::new(), "99999999999999999999".into()] {
            let head = format!("POST / HTTP/1.1\r\ncontent-length:{length}\r\n\r\n");
            assert_eq!(found(head.as_bytes()), Some(1), "{length:?}");
        }
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(order in prop::collection::vec(0usize..2, 0..6), cuts in prop::collection::vec(1usize..40, 1..60)) {
            let mut wire: String = order.iter().map(|n| [PLAIN, BODY][*n]).collect();
            wire.push_str(BOTH);
            let (mut heads, mut rest, mut found) = (Heads::default(), wire.as_bytes(), None);
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                found = found.or(heads.see(now));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, Some(order.len() as u64 + 1));
        }
    }
}
