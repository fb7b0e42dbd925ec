//! Which part of a blob is asked for: `Range` and `If-Range` (RFC 9110, section 14).
//!
//! **Invariants**
//! - What is not understood (other units, several ranges, malformed ones) is ignored: the answer is the whole blob.

use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};
use std::ops::Range;

/// The part of a blob to answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// These bytes, at least one.
    Some(Range<u64>),
    /// Bytes behind its end.
    Beyond,
}

/// The part that a GET asks for, of a blob with this length and entity tag.
pub(crate) fn part(asked: &HeaderMap, length: u64, tag: Option<&HeaderValue>) -> Part {
    let mut given = asked.get_all(RANGE).iter();
    let (Some(range), None) = (given.next(), given.next()) else { return Part::Whole };
    // A part of another version is of no use; nor has a version of ours a date.
    if asked.get(IF_RANGE).is_some_and(|known| tag != Some(known)) {
        return Part::Whole;
    }
    range.to_str().ok().and_then(|text| read(text, length)).unwrap_or(Part::Whole)
}

fn read(text: &str, length: u64) -> Option<Part> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let range = match (first, last) {
        ("", suffix) => length.saturating_sub(number(suffix)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if range.start < range.end { Part::Some(range) } else { Part::Beyond })
}

/// Digits only; more than a number can hold is more than any length.
fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &'static str, if_range: Option<&'static str>, length: u64) -> Part {
        let mut asked = HeaderMap::new();
        asked.insert(RANGE, HeaderValue::from_static(range));
        if let Some(known) = if_range {
            asked.insert(IF_RANGE, HeaderValue::from_static(known));
        }
        part(&asked, length, Some(&HeaderValue::from_static("\"7\"")))
    }

    #[test]
    fn one_range_is_cut_to_the_length() {
        for (range, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-", 0..100),
            ("Bytes=10-19", 10..20),
            ("bytes=90-1000", 90..100),
            ("bytes=99-99999999999999999999999", 99..100),
            ("bytes=-1", 99..100),
            ("bytes=-1000", 0..100),
            ("bytes= 5-6 ", 5..7),
        ] {
            assert_eq!(of(range, None, 100), Part::Some(expected), "{range}");
        }
    }

    #[test]
    fn what_lies_behind_the_end_is_told_from_what_is_no_range() {
        for beyond in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(of(beyond, None, 100), Part::Beyond, "{beyond}");
        }
        for none in ["bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=1-2,5-6", "lines=1-2", "bytes=+1-2"]
        {
            assert_eq!(of(none, None, 100), Part::Whole, "{none}");
        }
        assert_eq!(of("bytes=0-", None, 0), Part::Beyond);
        assert_eq!(part(&HeaderMap::new(), 100, None), Part::Whole);
    }

    #[test]
    fn a_part_of_another_version_is_not_given() {
        assert_eq!(of("bytes=0-0", Some("\"7\""), 100), Part::Some(0..1));
        for other in ["\"8\"", "W/\"7\"", "Sun, 06 Nov 1994 08:49:37 GMT", "7"] {
            assert_eq!(of("bytes=0-0", Some(other), 100), Part::Whole, "{other}");
        }
    }
}
