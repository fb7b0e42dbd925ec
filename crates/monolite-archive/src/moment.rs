//! A moment as people read it, for texts: UTC with milliseconds.

use jiff::Timestamp;

/// `2026-11-23T02:30:00.123Z` of unix milliseconds.
pub(crate) fn text(unix_ms: i64) -> String {
    match Timestamp::from_millisecond(unix_ms) {
        Ok(moment) => format!("{moment:.3}"),
        Err(_) => format!("{unix_ms} ms"), // of no year that has four digits
    }
}

#[test]
fn moments_read_as_a_calendar_says() {
    for (ms, said) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_760_000_000_123, "2025-10-09T08:53:20.123Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (i64::MAX, "9223372036854775807 ms"),
    ] {
        assert_eq!(text(ms), said);
    }
}
