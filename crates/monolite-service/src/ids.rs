//! Ids: UUIDv7, ascending within a process, so that new rows go to the end of an index.
//!
//! **Invariants**
//! - Two ids of one source are never equal, and a later one is greater, whatever the clock does.
//! - With a seed and a stopped clock the sequence is the same in each run.

use crate::clock::Millis;
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// Where ids come from.
pub trait Ids: Send + Sync + 'static {
    /// A fresh id that carries this moment.
    fn id(&self, now: Millis) -> Uuid;
}

/// UUIDv7 with 12 bits of counter and 62 random bits.
pub struct TimeOrdered(Mutex<State>);

struct State {
    millis: u64,
    counter: u16,
    random: Random,
}

enum Random {
    System { buffer: Box<[u8; 512]>, used: usize },
    Seeded(u64),
}

const COUNTER_MAX: u16 = 0xFFF;

impl TimeOrdered {
    /// Random bits from the system.
    pub fn new() -> Self {
        Self::with(Random::System { buffer: Box::new([0; 512]), used: 512 })
    }

    /// The same ids in each run: for tests.
    pub fn seeded(seed: u64) -> Self {
        Self::with(Random::Seeded(seed))
    }

    fn with(random: Random) -> Self {
        TimeOrdered(Mutex::new(State { millis: 0, counter: 0, random }))
    }
}

impl Default for TimeOrdered {
    fn default() -> Self {
        Self::new()
    }
}

impl Ids for TimeOrdered {
    fn id(&self, now: Millis) -> Uuid {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bits = state.random.next();
        let now = u64::try_from(now.0).unwrap_or(0);
        if now > state.millis {
            state.millis = now;
            state.counter = (bits >> 54) as u16 & 0x3FF; // room for at least 3,072 more in this millisecond
        } else if state.counter < COUNTER_MAX {
            state.counter += 1;
        } else {
            state.millis += 1; // more than that: borrow from the next
            state.counter = 0;
        }
        let low = state.random.next();
        let high = (state.millis << 16) | 0x7000 | u64::from(state.counter);
        Uuid::from_u64_pair(high, (low & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000)
    }
}

impl Random {
    fn next(&mut self) -> u64 {
        match self {
            Random::System { buffer, used } => {
                if *used + 8 > buffer.len() {
                    getrandom::fill(&mut buffer[..]).expect("the system gives random bytes");
                    *used = 0;
                }
                let mut eight = [0; 8];
                eight.copy_from_slice(&buffer[*used..*used + 8]);
                buffer[*used..*used + 8].fill(0);
                *used += 8;
                u64::from_le_bytes(eight)
            }
            Random::Seeded(state) => {
                // splitmix64
                *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                z ^ (z >> 31)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_ascend_also_when_the_clock_goes_back_and_when_a_millisecond_is_full() {
        let ids = TimeOrdered::new();
        let mut last = Uuid::nil();
        for n in 0..20_000i64 {
            let id = ids.id(Millis(1_000_000 - n / 10_000));
            assert!(id > last);
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
            last = id;
        }
    }

    #[test]
    fn a_seed_gives_the_same_ids_again_and_another_seed_others() {
        let take = |seed| {
            let ids = TimeOrdered::seeded(seed);
            [5, 5, 6, 4].map(|now| ids.id(Millis(now)))
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }

    proptest! {
        #[test]
        fn an_id_carries_its_moment(now in 1i64..(1 << 47)) {
            let (seconds, nanos) = TimeOrdered::new().id(Millis(now)).get_timestamp().unwrap().to_unix();
            prop_assert_eq!(seconds as i64 * 1000 + i64::from(nanos) / 1_000_000, now);
        }
    }
}
