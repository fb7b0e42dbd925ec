//! What counts as an e-mail address.
//!
//! Only what a mail server would take and two people cannot confuse: ASCII, one `@`, no blanks. Whether the address
//! exists only a mail can tell. International domains are written as `xn--…`; without case therefore means ASCII
//! case, which is exactly SQLite's `NOCASE`, so that the unique index and this file agree.

/// The longest address that SMTP can carry.
const BYTES_MAX: usize = 254;
const LOCAL_BYTES_MAX: usize = 64;

/// Why a text is not an e-mail address, or `None` if it is one.
pub fn why_not_an_email(text: &str) -> Option<&'static str> {
    if text.len() > BYTES_MAX {
        return Some("is longer than 254 characters");
    }
    if !text.is_ascii() {
        return Some("has characters outside ASCII; write an international domain as xn--");
    }
    let Some((local, domain)) = text.rsplit_once('@') else { return Some("has no @") };
    if local.is_empty() || local.len() > LOCAL_BYTES_MAX || !local.bytes().all(is_atom) {
        return Some("has no usable name before the @");
    }
    if local.starts_with('.') || local.ends_with('.') || local.contains("..") {
        return Some("has a misplaced dot before the @");
    }
    if !domain.split('.').all(is_label) {
        return Some("has no usable domain after the @");
    }
    None
}

/// RFC 5322 `atext` and the dot. Quoted names ("a b"@c) are refused: nobody has one, and they hide things in logs.
fn is_atom(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::why_not_an_email;
    use proptest::prelude::*;

    #[test]
    fn ordinary_addresses_are_addresses() {
        for text in ["ann@example.com", "Ann.Lee+tag@mail.example.co", "o'neil@xn--bcher-kva.example", "root@localhost"]
        {
            assert_eq!(why_not_an_email(text), None, "{text}");
        }
    }

    #[test]
    fn attacks_and_slips_are_not_addresses() {
        let long = format!("{}@example.com", "a".repeat(65));
        let longer = format!("a@{}", ["example"; 40].join("."));
        for text in [
            "",
            "@",
            "ann",
            "ann@",
            "@example.com",
            "a b@example.com",
            "ann@exa mple.com",
            "ann@example..com",
            "ann@-x.com",
            "a@b@c",
            "ann@example.com\n",
            "ann@example.com\r\nBcc: x@y.z",
            "ann\0@example.com",
            "<ann@example.com>",
            "\"'; DROP TABLE users;--\"@example.com",
            "ann@example.com'--",
            "jürgen@example.com",
            "ann@bücher.example",
            "ANN@EXAMPLE.COM\u{212a}",
            ".ann@example.com",
            "a..b@example.com",
            &long,
            &longer,
        ] {
            assert!(why_not_an_email(text).is_some(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_passes_is_short_printable_ascii_with_one_at(text in "\\PC{0,40}|[a-zA-Z0-9.+_-]{1,20}@[a-z0-9.-]{1,20}") {
            if why_not_an_email(&text).is_none() {
                prop_assert!(text.len() <= 254 && text.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert_eq!(text.matches('@').count(), 1);
            }
        }
    }
}
