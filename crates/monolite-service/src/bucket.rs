//! A bucket of tries that refills steadily (GCRA). Its whole state is one moment: the one at which it is full again.
//!
//! **Invariants**
//! - Within any time no more tries are let in than a full bucket and its refills.
//! - Who is refused is told a time after which one try is let in, if nobody else took it.
//! - A clock that was set back locks nobody out for longer than an empty bucket does.
//!
//! Never here: where the moment is kept, and whose bucket it is.

use crate::clock::Millis;
use std::time::Duration;

/// A bucket of tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Tries in a full bucket.
    pub tries: u32,
    /// One more after each such time.
    pub refill: Duration,
}

impl Bucket {
    /// One more try: the moment at which the bucket is full again, or how long until there is one. A bucket of which
    /// nothing is kept is full.
    pub fn take(self, full_at: Option<Millis>, now: Millis) -> Result<Millis, Duration> {
        self.take_leaving(0, full_at, now)
    }

    /// The same by somebody who may not have the last so many tries of the bucket.
    pub fn take_leaving(self, rest: u32, full_at: Option<Millis>, now: Millis) -> Result<Millis, Duration> {
        let all = self.tries.max(1);
        let full_at = full_at.unwrap_or(now).clamp(now, now + self.refill * all);
        let then = full_at + self.refill;
        let beyond = then.since(now + self.refill * all.saturating_sub(rest).max(1));
        if beyond.is_zero() { Ok(then) } else { Err(beyond) }
    }

    /// How many tries are left.
    pub fn left(self, full_at: Millis, now: Millis) -> u64 {
        let missing = full_at.since(now).as_millis().div_ceil(self.refill.as_millis().max(1));
        u64::from(self.tries).saturating_sub(u64::try_from(missing).unwrap_or(u64::MAX))
    }

    /// A bucket so many times as large, that refills as much faster.
    pub fn times(self, factor: u32) -> Self {
        let refill = (self.refill / factor.max(1)).max(Duration::from_millis(1));
        Bucket { tries: self.tries.saturating_mul(factor), refill }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rest_is_for_others_and_refills_first() {
        let bucket = Bucket { tries: 4, refill: Duration::from_secs(1) };
        let (now, mut full_at) = (Millis(1_000_000), None);
        for _ in 0..3 {
            full_at = Some(bucket.take_leaving(1, full_at, now).unwrap());
        }
        assert_eq!(bucket.take_leaving(1, full_at, now), Err(Duration::from_secs(1)));
        full_at = Some(bucket.take(full_at, now).unwrap());
        assert_eq!(bucket.take_leaving(1, full_at, now), Err(Duration::from_secs(2)));
        assert_eq!(bucket.take(full_at, now), Err(Duration::from_secs(1)));
        assert_eq!(bucket.left(full_at.unwrap(), now), 0);
    }

    proptest! {
        #[test]
        fn no_more_tries_than_the_bucket_and_its_refills(tries in 1u32..20, refill in 1u64..1000, steps in prop::collection::vec(0u64..3000, 1..200)) {
            let bucket = Bucket { tries, refill: Duration::from_millis(refill) };
            let (start, mut now, mut full_at, mut taken) = (Millis(1_000_000), Millis(1_000_000), None, 0);
            for step in steps {
                now = now + Duration::from_millis(step);
                match bucket.take(full_at, now) {
                    Ok(then) => {
                        full_at = Some(then);
                        taken += 1;
                    }
                    Err(wait) => {
                        prop_assert!(wait <= bucket.refill, "nobody waits longer than for one refill");
                        prop_assert!(bucket.take(full_at, now + wait).is_ok(), "the wait that was told is enough");
                    }
                }
                let most = u64::from(tries) + now.since(start).as_millis() as u64 / refill;
                prop_assert!(taken <= most);
            }
        }

        #[test]
        fn a_clock_that_was_set_back_locks_nobody_out_for_long(ahead in 0u64..10_000_000_000) {
            let bucket = Bucket { tries: 10, refill: Duration::from_secs(60) };
            let wait = bucket.take(Some(Millis(0) + Duration::from_millis(ahead)), Millis(0)).err();
            prop_assert!(wait.is_none_or(|wait| wait <= bucket.refill));
        }
    }
}
