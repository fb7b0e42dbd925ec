//! What a program may choose about files.

use monolite_service::{LARGE_VALUE_MAX, Millis, gib, hours};
use std::time::Duration;

/// The configuration of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The largest file, in bytes; 16 GiB unless given, and at most.
    pub bytes_max: u64,
    /// Unfinished files of one user; 16 unless given.
    pub unfinished_max: u32,
    /// Bytes of one user's unfinished files together: declared ones, else those that came. 32 GiB unless given.
    pub unfinished_bytes_max: u64,
    /// An unfinished file goes so long after something of it came last; 24 hours unless given.
    pub unfinished_time: Duration,
    /// One request with content may take so long; 24 hours unless given.
    pub upload_time: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            bytes_max: LARGE_VALUE_MAX,
            unfinished_max: 16,
            unfinished_bytes_max: gib(32),
            unfinished_time: hours(24),
            upload_time: hours(24),
        }
    }
}

impl Config {
    /// When an unfinished file goes that was touched last at this moment.
    pub(super) fn expires_at(&self, touched: Millis) -> Millis {
        touched + self.unfinished_time
    }

    /// Unfinished files that were touched last at this moment or before are gone.
    pub(super) fn untouched_since(&self, now: Millis) -> Millis {
        now - self.unfinished_time
    }
}
