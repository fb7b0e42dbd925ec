//! Tries: how often somebody may sign in with a wrong password, per account, per address and in all.
//!
//! Token buckets that refill steadily (GCRA): each is one moment, the one at which it is full again, and is a row of the
//! file, so that a restart forgets nothing. A try takes from its buckets before the password is looked at, and a good one
//! gets back what it took. An account is the address as it was typed, without case, whether there is somebody or not.
//!
//! **Invariants**
//! - Nobody is locked out for ever: an empty bucket lets one try through each time it refills by one.
//! - Whoever signed in from an address lately has a bucket of their own there, which nobody elsewhere can empty.
//! - The rows of buckets are bounded: each try that makes one takes from the bucket of all.
//!
//! Never here: passwords, and whether there is somebody.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use monolite_service::{Failure, Gauge, GaugeKind, Millis, Outcome, Snapshot, Tx, message, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config::{Bucket, Config};
use crate::SignInRefused;

pub(super) const FULL_AT: &str = "SELECT full_at FROM tries WHERE key = ?";
pub(super) const TAKE: &str =
    "INSERT INTO tries(key, full_at) VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET full_at = excluded.full_at";
pub(super) const GIVE: &str = "UPDATE tries SET full_at = full_at - ?2 WHERE key = ?1";
pub(super) const PRUNE: &str = "DELETE FROM tries WHERE full_at <= ?";
pub(super) const KNOWN: &str = "SELECT EXISTS(SELECT 1 FROM places WHERE account = ? AND address = ? AND seen_at > ?)";
pub(super) const REMEMBER: &str = "INSERT INTO places(account, address, seen_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT(account, address) DO UPDATE SET seen_at = excluded.seen_at";
pub(super) const FORGET: &str = "DELETE FROM places WHERE account = ?1 AND address IN \
     (SELECT address FROM places WHERE account = ?1 ORDER BY seen_at DESC LIMIT -1 OFFSET ?2)";

/// Places that are remembered of one account, and for how long.
const PLACES_MAX: u32 = 16;
const PLACE_DAYS: u64 = 90;

/// Who tries, from where. Hashes, so that the file and logs name nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Trying {
    account: [u8; 16],
    address: Option<[u8; 16]>,
}

/// Whether there is a try left; asked before anything is written.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct MayTry {
    pub(super) trying: Trying,
}

/// Takes a try.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct TakeTry {
    pub(super) trying: Trying,
}

/// What a try took, and so what a good one gets back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Taken {
    trying: Trying,
    from_known_place: bool,
}

/// Gives back what a try took that came to nothing: no password was looked at.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct GiveBack {
    pub(super) taken: Taken,
}

/// Time to forget buckets that are full.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct PruneTries {}

message!(MayTry => (), refuses SignInRefused);
message!(TakeTry => Taken, refuses SignInRefused);
message!(GiveBack => ());
message!(PruneTries => ());

/// What is counted of tries, for the metrics.
#[derive(Debug, Default)]
pub(super) struct Counts {
    refused: [AtomicU64; 3],
    left_of_all: AtomicU64,
}

/// Which bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Account,
    Address,
    All,
}

impl Trying {
    /// An account by its e-mail address, from an internet address: IPv6 by its first 64 bits, which one customer has.
    pub(super) fn of(email: &str, address: Option<IpAddr>) -> Self {
        let network = address.map(|address| match address.to_canonical() {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets()[..8].to_vec(),
        });
        Trying {
            account: short(b"account", email.to_ascii_lowercase().as_bytes()),
            address: network.map(|n| short(b"address", &n)),
        }
    }

    fn buckets(self, from_known_place: bool, config: &Config) -> Vec<(Of, Vec<u8>, Bucket)> {
        let tries = &config.tries;
        match self.address {
            Some(address) if from_known_place => {
                vec![(Of::Account, [b"p", &self.account[..], &address].concat(), tries.account)]
            }
            address => {
                let account = (Of::Account, [b"a", &self.account[..]].concat(), tries.account);
                let address = address.map(|address| (Of::Address, [b"n", &address[..]].concat(), tries.address));
                let all = (Of::All, b"*".to_vec(), tries.all);
                std::iter::once(account).chain(address).chain([all]).collect()
            }
        }
    }

    fn is_at_known_place(self, s: &Snapshot<'_>) -> Result<bool, Failure> {
        let Some(address) = self.address else { return Ok(false) };
        let since = s.now() - Duration::from_secs(PLACE_DAYS * 86_400);
        Ok(s.one(KNOWN, params![self.account, address, since])?.unwrap_or(false))
    }
}

impl Bucket {
    /// The moment at which the bucket is full after one more try, or how long until there is one.
    pub(super) fn take(self, full_at: Option<Millis>, now: Millis) -> Result<Millis, Duration> {
        let whole = self.refill * self.tries.max(1);
        // A clock that was set back locks nobody out for longer than an empty bucket does.
        let full_at = full_at.unwrap_or(now).clamp(now, now + whole);
        let then = full_at + self.refill;
        let beyond = then.since(now + whole);
        if beyond.is_zero() { Ok(then) } else { Err(beyond) }
    }

    fn left(self, full_at: Millis, now: Millis) -> u64 {
        let missing = full_at.since(now).as_millis().div_ceil(self.refill.as_millis().max(1));
        u64::from(self.tries).saturating_sub(u64::try_from(missing).unwrap_or(u64::MAX))
    }
}

impl Counts {
    pub(super) fn gauges(self: &Arc<Self>, config: &Config) -> Vec<Gauge> {
        self.left_of_all.store(config.tries.all.tries.into(), Relaxed);
        let left = self.clone();
        let mut all =
            vec![Gauge::new("monolite_sign_in_tries_left", "Wrong sign-ins that are left in all.", move || {
                left.left_of_all.load(Relaxed)
            })];
        for (of, label) in [(Of::Account, "account"), (Of::Address, "address"), (Of::All, "all")] {
            let counts = self.clone();
            let name = "monolite_sign_in_refused_total";
            let counted = Gauge::new(name, "Sign-ins refused, by the bucket that was empty.", move || {
                counts.refused[of as usize].load(Relaxed)
            });
            all.push(counted.kind(GaugeKind::Counter).label("bucket", label));
        }
        all
    }
}

pub(super) fn may_try(s: &Snapshot<'_>, m: &MayTry, config: &Config, counts: &Counts) -> Outcome<MayTry> {
    let known = m.trying.is_at_known_place(s)?;
    for (of, key, bucket) in m.trying.buckets(known, config) {
        looked(s, of, &key, bucket, counts)?;
    }
    Ok(())
}

pub(super) fn take_try(tx: &Tx<'_>, m: TakeTry, config: &Config, counts: &Counts) -> Outcome<TakeTry> {
    let known = m.trying.is_at_known_place(tx)?;
    for (of, key, bucket) in m.trying.buckets(known, config) {
        let full_at = looked(tx, of, &key, bucket, counts)?;
        tx.run(TAKE, params![key, full_at])?;
        if of == Of::All {
            counts.left_of_all.store(bucket.left(full_at, tx.now()), Relaxed);
        }
    }
    Ok(Taken { trying: m.trying, from_known_place: known })
}

fn looked(
    s: &Snapshot<'_>,
    of: Of,
    key: &[u8],
    bucket: Bucket,
    counts: &Counts,
) -> Result<Millis, monolite_service::Error<SignInRefused>> {
    let full_at = s.one::<Millis>(FULL_AT, params![key])?;
    Ok(bucket.take(full_at, s.now()).map_err(|wait| {
        counts.refused[of as usize].fetch_add(1, Relaxed);
        SignInRefused::too_many(wait)
    })?)
}

pub(super) fn give_back(tx: &Tx<'_>, m: GiveBack, config: &Config) -> Outcome<GiveBack> {
    for (_, key, bucket) in m.taken.trying.buckets(m.taken.from_known_place, config) {
        tx.run(GIVE, params![key, i64::try_from(bucket.refill.as_millis()).unwrap_or(i64::MAX)])?;
    }
    Ok(())
}

/// A good try: gives back what it took, and remembers the place.
pub(super) fn succeeded(tx: &Tx<'_>, taken: Taken, config: &Config) -> Result<(), monolite_service::Error> {
    give_back(tx, GiveBack { taken }, config)?;
    if let Some(address) = taken.trying.address {
        tx.run(REMEMBER, params![taken.trying.account, address, tx.now()])?;
        tx.run(FORGET, params![taken.trying.account, PLACES_MAX])?;
    }
    Ok(())
}

pub(super) fn prune_tries(tx: &Tx<'_>, _: PruneTries, config: &Config, counts: &Counts) -> Outcome<PruneTries> {
    tx.run(PRUNE, params![tx.now()])?;
    let full_at = tx.one::<Millis>(FULL_AT, params![b"*"])?.unwrap_or(tx.now());
    counts.left_of_all.store(config.tries.all.left(full_at, tx.now()), Relaxed);
    Ok(())
}

fn short(what: &[u8], text: &[u8]) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::new().chain_update(what).chain_update([0]).chain_update(text).finalize().into();
    hash[..16].try_into().expect("16 of 32 bytes are 16")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_told_apart_as_customers_have_them() {
        let of = |address: &str| Trying::of("a@b.example", address.parse().ok());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(Trying::of("A@b.Example", None), Trying::of("a@b.example", None));
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
