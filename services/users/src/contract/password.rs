//! The rule for passwords: length, nothing else. No rules of composition, no truncation (ASVS 5.0: 6.2.1, 6.2.5, 6.2.8).

/// The fewest characters of a new password.
pub const PASSWORD_CHARS_MIN: usize = 12;

/// The most characters of a password.
pub const PASSWORD_CHARS_MAX: usize = 128;

/// Why a text may not become a password, or `None` if it may. Characters are Unicode scalar values.
pub fn why_not_a_new_password(text: &str) -> Option<&'static str> {
    if text.chars().take(PASSWORD_CHARS_MIN).count() < PASSWORD_CHARS_MIN {
        return Some("is shorter than 12 characters");
    }
    why_not_a_password(text)
}

/// Why a text cannot be anybody's password, or `None` if it could: keeps a giant away from the hash, whoever sends it.
pub fn why_not_a_password(text: &str) -> Option<&'static str> {
    (text.chars().nth(PASSWORD_CHARS_MAX).is_some()).then_some("is longer than 128 characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_to_one_hundred_and_twenty_eight_characters_of_anything_will_do() {
        for good in ["a".repeat(12), "é".repeat(12), "🦀".repeat(128), " ".repeat(12), "'; DROP TABLE--\0".into()] {
            assert_eq!(why_not_a_new_password(&good), None, "{good:?}");
        }
        for bad in [String::new(), "a".repeat(11), "🦀".repeat(11), "a".repeat(129), "🦀".repeat(129)] {
            assert!(why_not_a_new_password(&bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn a_short_password_may_be_tried_but_not_a_giant() {
        assert_eq!(why_not_a_password(""), None);
        assert!(why_not_a_password(&"a".repeat(1 << 20)).is_some());
    }
}
