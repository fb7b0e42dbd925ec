//! Words: what of a document can be found.
//!
//! A JSON text becomes a list of folded words, written with single spaces between them: the string values (not the
//! member names), lower case, without accents, cut at everything that is no letter or digit. The same fold is applied
//! to what a user types, so the index's own tokenizer has nothing left to decide and user text has no syntax.
//!
//! **Invariants**
//! - Linear in the text, no recursion, one allocation that grows; at most [`WORDS_BYTES_MAX`] bytes come out.
//! - A word is 1 to [`WORD_BYTES_MAX`] bytes of letters and digits: no quote, space or operator can be in it.
//!
//! Never here: SQL, owners, validity of JSON (the text is valid by its type).

mod fold;
mod scan;

pub(crate) use scan::{Scanned, scan};

use fold::fold;

/// Most bytes of words taken from one document: a bound on the writer's time, about 4 ms.
pub const WORDS_BYTES_MAX: usize = 64 << 10;

/// Longest word; what is longer is cut there, in documents and in queries alike.
pub const WORD_BYTES_MAX: usize = 64;

/// Collects the words of a text, or of several, into one string with single spaces between them.
#[derive(Debug, Default)]
pub(crate) struct Words {
    text: String,
    /// Where the word in progress began; equal to the length between words.
    start: usize,
}

impl Words {
    /// The words of one plain text.
    pub(crate) fn of(text: &str) -> String {
        let mut words = Words::default();
        words.add(text);
        words.finish()
    }

    /// Adds a plain text; its end ends a word.
    pub(crate) fn add(&mut self, text: &str) {
        for c in text.chars() {
            self.push(c);
            if self.is_full() {
                break;
            }
        }
        self.end_word();
    }

    /// Adds one character.
    #[inline]
    pub(crate) fn push(&mut self, c: char) {
        if c.is_ascii_alphanumeric() {
            if self.text.len() - self.start < WORD_BYTES_MAX {
                self.text.push(c.to_ascii_lowercase());
            }
        } else if c.is_ascii() {
            self.end_word();
        } else {
            self.push_beyond_ascii(c);
        }
    }

    fn push_beyond_ascii(&mut self, c: char) {
        if fold::is_mark(c) {
            return; // an accent written after its letter: the letter alone is the word's
        }
        if !c.is_alphanumeric() {
            return self.end_word();
        }
        let alone = fold::stands_alone(c);
        if alone {
            self.end_word();
        }
        if self.text.len() - self.start + 3 * c.len_utf8() <= WORD_BYTES_MAX {
            fold(c, &mut self.text);
        }
        if alone {
            self.end_word();
        }
    }

    #[inline]
    pub(crate) fn end_word(&mut self) {
        if self.text.len() > self.start {
            self.text.push(' ');
            self.start = self.text.len();
        }
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.text.len() >= WORDS_BYTES_MAX
    }

    /// The words, without a space at the end.
    pub(crate) fn finish(mut self) -> String {
        self.end_word();
        self.text.pop();
        self.text
    }
}

/// Whether a text ends in the middle of a word: that one is still being typed.
pub(crate) fn ends_within_a_word(text: &str) -> bool {
    !split_last(text).1.is_empty()
}

/// A text in two: what is before its last word, and the word itself; that is empty where the text ends after a word.
pub(crate) fn split_last(text: &str) -> (&str, &str) {
    let is_part = |c: char| c.is_alphanumeric() || fold::is_mark(c);
    let alone = text.chars().next_back().is_some_and(fold::stands_alone);
    let start = match text.char_indices().rev().find(|&(_, c)| !is_part(c) || fold::stands_alone(c)) {
        Some((at, c)) if alone && is_part(c) => at,
        Some((at, c)) => at + c.len_utf8(),
        None => 0,
    };
    text.split_at(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_folded_and_cut_at_everything_else() {
        let check = |text: &str, words: &str| assert_eq!(Words::of(text), words, "{text:?}");
        check("Hello, World!", "hello world");
        check("serde_json-1.0", "serde json 1 0");
        check("  Crème Brûlée  ", "creme brulee");
        check("Cre\u{300}me", "creme"); // the accent as a character of its own
        check("Straße ŁÓDŹ Ærø", "strasse lodz aero");
        check("ΑΘΉΝΑ Москва", "αθήνα москва");
        check("寿司を食べる", "寿 司 を 食 べ る");
        check("\" OR 1=1 -- *^:(){}NEAR", "or 1 1 near");
        check("", "");
        check("\0\u{1}..", "");
    }

    #[test]
    fn the_last_word_is_the_one_being_typed() {
        assert_eq!(split_last("tomato so"), ("tomato ", "so"));
        assert_eq!(split_last("serde_j"), ("serde_", "j"));
        assert_eq!(split_last("Crème"), ("", "Crème"));
        assert_eq!(split_last("Cre\u{300}me"), ("", "Cre\u{300}me"));
        assert_eq!(split_last("寿司"), ("寿", "司"));
        assert_eq!(split_last("寿a"), ("寿", "a"));
        for finished in ["", "tomato ", "tomato!", "\0"] {
            assert_eq!(split_last(finished), (finished, ""));
            assert!(!ends_within_a_word(finished));
        }
    }

    #[test]
    fn a_long_word_is_cut() {
        assert_eq!(Words::of(&"a".repeat(1000)), "a".repeat(WORD_BYTES_MAX));
        assert!(Words::of(&"ß".repeat(1000)).len() <= WORD_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn words_have_no_syntax_and_folding_twice_changes_nothing(text in ".{0,200}") {
            let words = Words::of(&text);
            prop_assert!(words.split(' ').all(|w| w.len() <= WORD_BYTES_MAX));
            prop_assert!(words.chars().all(|c| c == ' ' || c.is_alphanumeric() || !c.is_ascii()), "{words:?}");
            prop_assert!(!words.contains("  ") && !words.starts_with(' ') && !words.ends_with(' '));
            prop_assert_eq!(Words::of(&words), words.clone());
            let (before, last) = split_last(&text);
            prop_assert_eq!(format!("{before}{last}"), text.clone());
            prop_assert_eq!(words.ends_with(&Words::of(last)), true);
        }
    }
}
