//! The walk over a JSON text: its string values as words, and how deep it nests.
//!
//! **Invariants**
//! - One pass over the bytes, nothing is built, no recursion: 16 MiB of brackets cost milliseconds and no stack.
//! - The text is valid JSON (its type says so); on other text the words are wrong, but nothing panics.
//!
//! Member names are not words: "every document has a title" is no answer to a search for "title".

use super::Words;

/// What a walk found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// The folded words of all string values, up to the bound.
    pub(crate) words: String,
    /// The deepest nesting: 0 for a plain value.
    pub(crate) depth: usize,
}

/// Walks a valid JSON text.
pub(crate) fn scan(json: &str) -> Scanned {
    let bytes = json.as_bytes();
    let mut words = Words::default();
    let (mut at, mut depth, mut deepest) = (0, 0_usize, 0);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let (end, escaped) = string_end(bytes, at);
                let raw = json.get(at..end).unwrap_or("");
                at = end + 1;
                if !words.is_full() && !is_member_name(bytes, at) {
                    if escaped { add_escaped(raw, &mut words) } else { words.add(raw) }
                }
            }
            _ => {}
        }
    }
    Scanned { words: words.finish(), depth: deepest }
}

/// Where the string that began at `from` ends, and whether it holds an escape.
fn string_end(bytes: &[u8], from: usize) -> (usize, bool) {
    let (mut at, mut escaped) = (from, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => break,
            b'\\' => {
                escaped = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
    (at.min(bytes.len()), escaped)
}

fn is_member_name(bytes: &[u8], after: usize) -> bool {
    bytes[after.min(bytes.len())..].iter().find(|b| !b.is_ascii_whitespace()) == Some(&b':')
}

/// Adds a string's content with its escapes resolved; a lone surrogate ends a word.
fn add_escaped(raw: &str, words: &mut Words) {
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            words.push(c);
        } else if chars.next() == Some('u') {
            match unicode(&mut chars) {
                Some(c) => words.push(c),
                None => words.end_word(),
            }
        } else {
            words.end_word(); // all other escapes stand for no letter
        }
        if words.is_full() {
            break;
        }
    }
    words.end_word();
}

fn unicode(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let unit = hex4(chars)?;
    if !(0xD800..0xDC00).contains(&unit) {
        return char::from_u32(unit);
    }
    let mut ahead = chars.clone();
    if ahead.next() != Some('\\') || ahead.next() != Some('u') {
        return None;
    }
    let low = hex4(&mut ahead).filter(|low| (0xDC00..0xE000).contains(low))?;
    *chars = ahead;
    char::from_u32(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
}

fn hex4(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |n, _| Some(n * 16 + chars.next()?.to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{WORD_BYTES_MAX, WORDS_BYTES_MAX};
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn string_values_are_words_and_member_names_are_not() {
        let check = |json: &str, words: &str, depth: usize| {
            assert_eq!(scan(json), Scanned { words: words.into(), depth }, "{json}");
        };
        check(r#""Plain""#, "plain", 0);
        check(r#"{"title" : "Tomato soup", "n": 12, "tags":["Red","hot "]}"#, "tomato soup red hot", 2);
        check(r#"["a\"b", "c\\", "d\u00e9\u0065", "x\ny"]"#, "a b c dee x y", 1);
        check(r#"["\ud83d\ude00 ok \ud800 bad \ud800\u0041"]"#, "ok bad a", 1);
        check("[[[[]]]]", "", 4);
        check("1e999", "", 0);
        check("null", "", 0);
    }

    #[test]
    fn a_huge_document_is_bounded_in_words_and_still_measured_in_depth() {
        let json = format!(r#"["{}",[[[1]]]]"#, "word ".repeat(1 << 20));
        let scanned = scan(&json);
        assert!(scanned.words.len() <= WORDS_BYTES_MAX + WORD_BYTES_MAX);
        assert_eq!(scanned.depth, 4);
    }

    #[test]
    fn broken_text_does_not_panic() {
        for json in ["\"", "\"\\", "{\"a", "\"\\u12", "]]]]", "\"\\ud800\\u", "\u{e9}\"\\\u{e9}"] {
            scan(json);
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from)
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((".{0,6}", inner), 0..5).prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    fn walk(value: &Value, words: &mut Words) -> usize {
        match value {
            Value::String(text) => {
                words.add(text);
                0
            }
            Value::Array(items) => 1 + items.iter().map(|v| walk(v, words)).max().unwrap_or(0),
            Value::Object(members) => 1 + members.values().map(|v| walk(v, words)).max().unwrap_or(0),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn the_walk_finds_what_a_full_parse_finds(value in json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let mut words = Words::default();
            let depth = walk(&value, &mut words);
            prop_assert_eq!(scan(&text), Scanned { words: words.finish(), depth });
        }
    }
}
