//! `Server-Timing` and `Monolite-Commit`, written without the formatting machinery.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderValue;
use std::time::Duration;

/// Digits of the largest `u64`, and room for the words around them.
const TIMING_MAX: usize = 80;

/// `db;dur=0.012;desc="3 statements"`, the duration in milliseconds.
pub(crate) fn server_timing(db: Duration, statements: u32) -> HeaderValue {
    let micros = u64::try_from(db.as_micros()).unwrap_or(u64::MAX);
    let mut text = BytesMut::with_capacity(TIMING_MAX);
    text.put_slice(b"db;dur=");
    put_number(&mut text, micros / 1000, 1);
    text.put_u8(b'.');
    put_number(&mut text, micros % 1000, 3);
    text.put_slice(b";desc=\"");
    put_number(&mut text, u64::from(statements), 1);
    text.put_slice(if statements == 1 { b" statement\"" } else { b" statements\"" });
    value(text.freeze())
}

/// `Documents=123`.
pub(crate) fn commit(service: &str, sequence: u64) -> HeaderValue {
    let mut text = BytesMut::with_capacity(service.len() + 21);
    text.put_slice(service.as_bytes());
    text.put_u8(b'=');
    put_number(&mut text, sequence, 1);
    value(text.freeze())
}

fn value(text: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(text).unwrap_or(crate::headers::NO_STATEMENTS)
}

/// Writes a number with at least so many digits.
fn put_number(to: &mut BytesMut, number: u64, digits_min: usize) {
    let mut digits = [b'0'; 20];
    let (mut at, mut rest) = (digits.len(), number);
    while rest > 0 || digits.len() - at < digits_min {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("a digit is below ten");
        rest /= 10;
    }
    to.put_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_are_milliseconds_with_three_places() {
        let text = |micros, n| server_timing(Duration::from_micros(micros), n).to_str().unwrap().to_owned();
        assert_eq!(text(12, 3), "db;dur=0.012;desc=\"3 statements\"");
        assert_eq!(text(0, 0), "db;dur=0.000;desc=\"0 statements\"");
        assert_eq!(text(1_234_567, 1), "db;dur=1234.567;desc=\"1 statement\"");
        assert!(text(u64::MAX, u32::MAX).ends_with("statements\""));
    }

    #[test]
    fn a_commit_names_its_service() {
        assert_eq!(commit("Documents", 123), "Documents=123");
        assert_eq!(commit("Users", 0), "Users=0");
        assert_eq!(commit("Users", u64::MAX), "Users=18446744073709551615");
    }
}
