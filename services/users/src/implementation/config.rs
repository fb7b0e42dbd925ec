//! What a program may choose about Users.

use monolite_service::Bucket;
use std::time::Duration;

/// The configuration of Users.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whether anybody may create themselves a user; otherwise only admins create users. Off unless given.
    pub open_registration: bool,
    /// Threads that hash passwords, each with [`Cost`]'s memory while it does; 2 unless given.
    pub hash_threads: usize,
    /// Hashes that may wait for a thread, of one tenant a quarter of them; one more is refused as overloaded. 64 unless
    /// given.
    pub hash_queue: usize,
    /// How often the old password of one user may be shown wrongly to change it. 10, and one more a minute, unless given.
    pub old_password: Bucket,
    /// What a hash costs. Not for configuration files: a program that lowers it says so in its code.
    pub cost: Cost,
}

impl Default for Config {
    fn default() -> Self {
        let old_password = Bucket { tries: 10, refill: Duration::from_secs(60) };
        Config { open_registration: false, hash_threads: 2, hash_queue: 64, old_password, cost: Cost::default() }
    }
}

/// What one argon2id hash costs, and so what one guess costs a thief of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
}

impl Default for Cost {
    /// 46 MiB, one pass, one lane: the first of the equally strong choices in OWASP's Password Storage Cheat Sheet.
    fn default() -> Self {
        Cost { memory_kib: 47_104, passes: 1 }
    }
}

impl Cost {
    /// So much memory and so many passes, or `None` where that is weaker than OWASP's choices (46 MiB with 1 pass, 19
    /// with 2, 12 with 3, 9 with 4, 7 with 5) or beyond 1 GiB and 16 passes, where signing in would take seconds.
    pub const fn new(memory_kib: u32, passes: u32) -> Option<Cost> {
        let least_kib = match passes {
            1 => 47_104,
            2 => 19_456,
            3 => 12_288,
            4 => 9_216,
            5..=16 => 7_168,
            _ => return None,
        };
        if memory_kib < least_kib || memory_kib > 1 << 20 {
            return None;
        }
        Some(Cost { memory_kib, passes })
    }

    /// Next to nothing: for tests with many users, never for people.
    pub const fn for_tests() -> Cost {
        Cost { memory_kib: 64, passes: 1 }
    }

    pub(super) fn params(self) -> argon2::Params {
        argon2::Params::new(self.memory_kib, self.passes, 1, None).expect("new() lets only good parameters through")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_weaker_than_owasp_is_a_cost() {
        assert!(Cost::new(47_104, 1).is_some() && Cost::new(19_456, 2).is_some() && Cost::new(1 << 20, 16).is_some());
        assert!(Cost::new(47_103, 1).is_none() && Cost::new(19_455, 2).is_none() && Cost::new(64, 1).is_none());
        assert!(Cost::new(7_168, 0).is_none() && Cost::new(7_168, 17).is_none() && Cost::new(u32::MAX, 2).is_none());
        let default = Cost::default();
        assert_eq!(Cost::new(default.memory_kib, default.passes), Some(default));
    }
}
