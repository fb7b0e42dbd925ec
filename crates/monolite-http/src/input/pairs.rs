//! Pairs: the names and values of a query string and of a path, percent-decoded.
//!
//! **Invariants**
//! - What needs no decoding is borrowed.
//! - A bad escape or bad UTF-8 is refused, never replaced.

use super::Fault;
use std::borrow::Cow;

/// Pairs in one query string; more are refused.
const PAIRS_MAX: usize = 100;

/// A name and its value.
pub(crate) type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Adds the pairs of a query string.
pub(crate) fn read_query<'a>(query: &'a str, pairs: &mut Vec<Pair<'a>>) -> Result<(), Fault> {
    for part in query.split('&').filter(|part| !part.is_empty()) {
        if pairs.len() >= PAIRS_MAX {
            return Err(Fault::whole("too_many_fields", format!("the query has more than {PAIRS_MAX} fields")));
        }
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        pairs.push((decode(name, true)?, decode(value, true)?));
    }
    Ok(())
}

/// Decodes percent escapes, and in a query `+` as a space.
pub(crate) fn decode(text: &str, is_query: bool) -> Result<Cow<'_, str>, Fault> {
    if !text.bytes().any(|b| b == b'%' || (is_query && b == b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                    return Err(Fault::whole("malformed_target", "a percent escape is not followed by two digits"));
                };
                decoded.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte"));
            }
            b'+' if is_query => decoded.push(b' '),
            byte => decoded.push(byte),
        }
    }
    String::from_utf8(decoded)
        .map(Cow::Owned)
        .map_err(|_| Fault::bad_utf8("the path or the query is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(query: &str) -> Result<Vec<(String, String)>, &'static str> {
        let mut pairs = Vec::new();
        read_query(query, &mut pairs).map_err(|fault| fault.code)?;
        Ok(pairs.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    #[test]
    fn a_query_is_decoded() {
        let expected = |pairs: &[(&str, &str)]| Ok(pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect());
        assert_eq!(pairs(""), expected(&[]));
        assert_eq!(pairs("a=1&b=x+y&&c"), expected(&[("a", "1"), ("b", "x y"), ("c", "")]));
        assert_eq!(pairs("q=%C3%A9%26%3d=%2B"), expected(&[("q", "é&==+")]));
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        for (bad, code) in [("a=%", "malformed_target"), ("a=%4", "malformed_target"), ("a=%zz", "malformed_target")] {
            assert_eq!(pairs(bad), Err(code), "{bad}");
        }
        assert_eq!(pairs("a=%ff"), Err("bad_utf8"));
        assert_eq!(pairs(&"a=1&".repeat(101)), Err("too_many_fields"));
    }

    #[test]
    fn a_plus_in_a_path_is_a_plus() {
        assert_eq!(decode("a+b%20c", false).unwrap(), "a+b c");
    }
}
