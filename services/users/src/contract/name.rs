//! What counts as a user's name.

/// The most characters of a name.
const CHARS_MAX: usize = 200;

/// Why a text is not a name, or `None` if it is one. Any script will do; control characters, which break logs and
/// terminals, will not, nor will the marks that turn the direction of what follows.
pub fn why_not_a_name(text: &str) -> Option<&'static str> {
    if text.trim().is_empty() {
        return Some("is empty");
    }
    if text.chars().count() > CHARS_MAX {
        return Some("is longer than 200 characters");
    }
    if text.chars().any(|c| c.is_control() || is_hidden(c)) {
        return Some("has control characters");
    }
    None
}

/// Line and paragraph separators, bidirectional embeddings, overrides and isolates, the byte order mark.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::why_not_a_name;

    #[test]
    fn names_of_every_script_and_of_little_bobby_tables_are_names() {
        for text in
            ["Ann", "Øyvind", "山田 太郎", "O'Neil", "Robert'); DROP TABLE users;--", "<script>alert(1)</script>"]
        {
            assert_eq!(why_not_a_name(text), None, "{text}");
        }
    }

    #[test]
    fn empty_endless_and_invisible_names_are_refused() {
        for text in ["", "  \u{a0} ", "a\0b", "a\nb", "\u{1b}[31mred", "ann\u{202e}nimda", &"x".repeat(201)] {
            assert!(why_not_a_name(text).is_some(), "{text:?}");
        }
    }
}
