//! What a program may choose about sessions.

use monolite_service::{Bucket, Millis};
use std::time::Duration;

/// The configuration of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// A session that was not used for so many seconds has ended; 86,400 (a day) unless given.
    pub idle_seconds: u32,
    /// A session ends after so many seconds even if used; 2,592,000 (30 days) unless given.
    pub absolute_seconds: u32,
    /// Sessions of one user; when one more begins, the longest unused ends. 100 unless given.
    pub per_user_max: u32,
    /// Sessions whose use waits in memory to be written; of more, the use is not noted until the next write, a second
    /// later at most. 65,536 unless given.
    pub touches_max: usize,
    /// How often somebody may sign in with a wrong password.
    pub tries: Tries,
}

/// How often somebody may sign in with a wrong password: buckets of tries that refill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// For one account from one network; from all together ten times as many, but where it signed in lately. 10, and one
    /// more a minute, unless given.
    pub account: Bucket,
    /// From one network (IPv4 whole, IPv6 its first 48 bits), the last quarter for accounts that signed in from there
    /// lately. 100, and one more in 6 seconds, unless given.
    pub address: Bucket,
    /// In all: the last quarter for accounts where they signed in lately, the quarter before it for them and for networks
    /// without recent wrong tries. 1,000, and five more a second, unless given.
    pub all: Bucket,
}

impl Default for Tries {
    fn default() -> Self {
        let bucket = |tries, millis| Bucket { tries, refill: Duration::from_millis(millis) };
        Tries { account: bucket(10, 60_000), address: bucket(100, 6_000), all: bucket(1000, 200) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            idle_seconds: 86_400,
            absolute_seconds: 30 * 86_400,
            per_user_max: 100,
            touches_max: 65_536,
            tries: Tries::default(),
        }
    }
}

impl Config {
    /// Sessions that were last seen at this moment or before have ended.
    pub(super) fn idle_since(&self, now: Millis) -> Millis {
        now - Duration::from_secs(self.idle_seconds.into())
    }

    /// Sessions that were last seen at this moment or before may be removed: a minute later than they ended, so that one
    /// whose last touch still waits to be written is not taken for idle.
    pub(super) fn prunable_since(&self, now: Millis) -> Millis {
        self.idle_since(now) - Duration::from_secs(60)
    }

    /// When a session that begins now ends at the latest.
    pub(super) fn absolute_end(&self, now: Millis) -> Millis {
        now + Duration::from_secs(self.absolute_seconds.into())
    }
}
