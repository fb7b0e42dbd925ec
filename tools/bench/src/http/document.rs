//! The small documents that are created over HTTP: made from a number, so that what comes back can be checked.

use crate::random::Random;

/// Different words in the texts.
const WORDS: u64 = 5000;
/// Words in a text.
const LENGTH: usize = 24;

/// The JSON of document `n`: about 250 bytes, with a word of its own (`w{n}x`) that only it holds.
pub(crate) fn json(n: u64) -> String {
    let mut random = Random::new(n);
    let mut text = String::with_capacity(LENGTH * 8);
    for i in 0..LENGTH {
        if i > 0 {
            text.push(' ');
        }
        text.push_str(&word(random.next() % WORDS));
    }
    format!(r#"{{"n":{n},"word":"w{n}x","text":"{text}"}}"#)
}

/// A pronounceable word.
fn word(mut n: u64) -> String {
    const SYLLABLES: [&str; 18] =
        ["ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "du", "fa", "ge", "hi", "jo", "pu", "wa", "ze", "ly"];
    let mut word = String::new();
    loop {
        word.push_str(SYLLABLES[(n % 18) as usize]);
        n /= 18;
        if n == 0 {
            return word;
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_document_is_small_json_and_the_same_for_the_same_number() {
        let text = super::json(42);
        assert_eq!(text, super::json(42));
        assert!((150..350).contains(&text.len()), "{} bytes", text.len());
        let value: serde_json::Value = serde_json::from_str(&text).expect("parses");
        assert_eq!(value["word"], "w42x");
    }
}
