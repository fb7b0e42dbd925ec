//! Sizes and times with their units said.

use std::time::Duration;

/// Kibibytes, in bytes.
pub const fn kib(n: u64) -> u64 {
    n << 10
}
/// Mebibytes, in bytes.
pub const fn mib(n: u64) -> u64 {
    n << 20
}
/// Gibibytes, in bytes.
pub const fn gib(n: u64) -> u64 {
    n << 30
}
/// Milliseconds.
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
/// Seconds.
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
/// Minutes.
pub const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}
/// Hours.
pub const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}
/// Days of 24 hours.
pub const fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}
