//! Tries: how often somebody may sign in with a wrong password.
//!
//! Token buckets, each one row of the file, so that a restart forgets nothing. A try takes from its buckets before the
//! password is looked at, and a good one gets back what it took. An account is the address as it was typed, without case,
//! whether there is somebody or not. The buckets, all of which must have a try left:
//!
//! 1. the account from this network, [`Tries::account`](super::Tries::account);
//! 2. the account from everywhere, [`NETWORKS`] times as large; not asked at a known place (one from which the account
//!    signed in lately);
//! 3. the network: IPv4 whole, IPv6 its first 48 bits, which one site or some hundred homes have. The last quarter is for
//!    known places;
//! 4. all. The last quarter is for known places, the quarter before it for them and for networks without recent wrong tries.
//!
//! **Invariants**
//! - No one network locks an account out for the others: the first bucket lets it take a tenth of the second's refills.
//! - Whoever signed in from a place lately has a bucket of their own there, which nobody elsewhere can empty.
//! - The loopback address, which is a proxy or a socket, is no network and no place: whoever comes by it is told apart by
//!   the account alone.
//! - The rows of buckets are bounded, each try that makes some takes from the bucket of all; so are those of places, by
//!   account and by age.
//!
//! Never here: passwords, and whether there is somebody.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use monolite_service::{Bucket, Failure, Gauge, GaugeKind, Millis, Outcome, Snapshot, Tx, message, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config::Config;
use crate::SignInRefused;

pub(super) const FULL_AT: &str = "SELECT full_at FROM tries WHERE key = ?";
pub(super) const TAKE: &str =
    "INSERT INTO tries(key, full_at) VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET full_at = excluded.full_at";
pub(super) const GIVE: &str = "UPDATE tries SET full_at = full_at - ?2 WHERE key = ?1";
pub(super) const PRUNE: &str = "DELETE FROM tries WHERE full_at <= ?";
pub(super) const HASH_KEY: &str = "SELECT key FROM hash_key";
pub(super) const KNOWN: &str = "SELECT EXISTS(SELECT 1 FROM places WHERE account = ? AND address = ? AND seen_at > ?)";
pub(super) const REMEMBER: &str = "INSERT INTO places(account, address, seen_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT(account, address) DO UPDATE SET seen_at = excluded.seen_at";
pub(super) const FORGET: &str = "DELETE FROM places WHERE account = ?1 AND address IN \
     (SELECT address FROM places WHERE account = ?1 ORDER BY seen_at DESC LIMIT -1 OFFSET ?2)";
pub(super) const FORGET_OLD: &str = "DELETE FROM places WHERE (account, address) IN \
     (SELECT account, address FROM places WHERE seen_at <= ?1 ORDER BY seen_at LIMIT ?2)";

/// How many networks it takes to use up what one account has everywhere.
const NETWORKS: u32 = 10;
/// Places that are remembered of one account, and for how long.
const PLACES_MAX: u32 = 16;
const PLACE_DAYS: u64 = 90;
/// Old places that are forgotten in one write, once a minute.
const FORGET_MAX: u32 = 512;

/// Who tries, from where: hashes under a key of the file, so that without it nobody is named. (With the file, whoever has
/// it can still try all addresses there are.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Trying {
    account: [u8; 16],
    address: Option<[u8; 16]>,
}

/// Whether there is a try left, and for whom; asked before anything is written.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct MayTry {
    pub(super) email: String,
    pub(super) address: Option<IpAddr>,
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

/// Time to forget buckets that are full, and places that are old.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct PruneTries {}

message!(MayTry => Trying, refuses SignInRefused);
message!(TakeTry => Taken, refuses SignInRefused);
message!(GiveBack => ());
message!(PruneTries => ());

/// What is counted of tries, for the metrics.
#[derive(Debug, Default)]
pub(super) struct Counts {
    refused: [AtomicU64; 3],
    left_of_all: AtomicU64,
}

/// Which bucket, by its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Account,
    Address,
    All,
}

/// How much of the shared buckets a try may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The account signed in from here lately.
    Known,
    /// No wrong try came from here lately.
    Clean,
    /// Neither.
    Tried,
}

/// One bucket that a try takes from, and what it must leave there to others.
struct Asked {
    of: Of,
    key: Vec<u8>,
    bucket: Bucket,
    leaving: u32,
}

impl Trying {
    /// An account by its e-mail address, from the network of an internet address.
    fn of(key: &[u8; 32], email: &str, address: Option<IpAddr>) -> Self {
        let network = address.map(|address| address.to_canonical()).filter(|address| !address.is_loopback());
        let network = network.map(|address| match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets()[..6].to_vec(),
        });
        Trying {
            account: hashed(key, b"account", email.to_ascii_lowercase().as_bytes()),
            address: network.map(|network| hashed(key, b"address", &network)),
        }
    }

    fn buckets(self, standing: Standing, config: &Config) -> Vec<Asked> {
        let tries = &config.tries;
        let quarters = |bucket: Bucket, of_four: u32| bucket.tries / 4 * of_four;
        let (of_address, of_all) = match standing {
            Standing::Known => (0, 0),
            Standing::Clean => (quarters(tries.address, 1), quarters(tries.all, 1)),
            Standing::Tried => (quarters(tries.address, 1), quarters(tries.all, 2)),
        };
        let mut asked = Vec::with_capacity(4);
        let mut ask = |of, key: &[&[u8]], bucket, leaving| {
            asked.push(Asked { of, key: key.concat(), bucket, leaving });
        };
        if let Some(network) = &self.address {
            ask(Of::Account, &[b"p", &self.account, network], tries.account, 0);
        }
        if standing != Standing::Known {
            ask(Of::Account, &[b"a", &self.account], tries.account.times(NETWORKS), 0);
        }
        if let Some(network) = &self.address {
            ask(Of::Address, &[b"n", network], tries.address, of_address);
        }
        ask(Of::All, &[b"*"], tries.all, of_all);
        asked
    }

    fn standing(self, s: &Snapshot<'_>) -> Result<Standing, Failure> {
        let Some(address) = self.address else { return Ok(Standing::Tried) };
        if s.one(KNOWN, params![self.account, address, places_since(s.now())])?.unwrap_or(false) {
            return Ok(Standing::Known);
        }
        let full_at = s.one::<Millis>(FULL_AT, params![[b"n", &address[..]].concat()])?;
        Ok(if full_at.is_some_and(|full_at| full_at > s.now()) { Standing::Tried } else { Standing::Clean })
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
    let key: [u8; 32] = s.prepare(HASH_KEY)?.query_row([], |row| row.get(0)).map_err(Failure::from)?;
    let trying = Trying::of(&key, &m.email, m.address);
    for asked in trying.buckets(trying.standing(s)?, config) {
        looked(s, &asked, counts)?;
    }
    Ok(trying)
}

pub(super) fn take_try(tx: &Tx<'_>, m: TakeTry, config: &Config, counts: &Counts) -> Outcome<TakeTry> {
    let standing = m.trying.standing(tx)?;
    for asked in m.trying.buckets(standing, config) {
        let full_at = looked(tx, &asked, counts)?;
        tx.run(TAKE, params![asked.key, full_at])?;
        if asked.of == Of::All {
            counts.left_of_all.store(asked.bucket.left(full_at, tx.now()), Relaxed);
        }
    }
    Ok(Taken { trying: m.trying, from_known_place: standing == Standing::Known })
}

fn looked(s: &Snapshot<'_>, asked: &Asked, counts: &Counts) -> Result<Millis, monolite_service::Error<SignInRefused>> {
    let full_at = s.one::<Millis>(FULL_AT, params![asked.key])?;
    Ok(asked.bucket.take_leaving(asked.leaving, full_at, s.now()).map_err(|wait| {
        counts.refused[asked.of as usize].fetch_add(1, Relaxed);
        SignInRefused::too_many(wait)
    })?)
}

pub(super) fn give_back(tx: &Tx<'_>, m: GiveBack, config: &Config) -> Outcome<GiveBack> {
    let standing = if m.taken.from_known_place { Standing::Known } else { Standing::Tried };
    for asked in m.taken.trying.buckets(standing, config) {
        tx.run(GIVE, params![asked.key, i64::try_from(asked.bucket.refill.as_millis()).unwrap_or(i64::MAX)])?;
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
    tx.run(FORGET_OLD, params![places_since(tx.now()), FORGET_MAX])?;
    let full_at = tx.one::<Millis>(FULL_AT, params![b"*"])?.unwrap_or(tx.now());
    counts.left_of_all.store(config.tries.all.left(full_at, tx.now()), Relaxed);
    Ok(())
}

fn places_since(now: Millis) -> Millis {
    now - Duration::from_secs(PLACE_DAYS * 86_400)
}

fn hashed(key: &[u8; 32], what: &[u8], text: &[u8]) -> [u8; 16] {
    hmac(key, &[what, &[0], text])
}

/// The first half of HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 16] {
    let padded = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        Sha256::new().chain_update(block)
    };
    let inner = parts.iter().fold(padded(0x36), |hash, part| hash.chain_update(part)).finalize();
    let hash: [u8; 32] = padded(0x5c).chain_update(inner).finalize().into();
    hash[..16].try_into().expect("16 of 32 bytes are 16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_as_customers_have_them() {
        let of = |address: &str| Trying::of(&[7; 32], "a@b.example", address.parse().ok());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:2:2::1"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of(loopback), of("none"));
        }
        assert_eq!(Trying::of(&[7; 32], "A@b.Example", None), of("none"));
        assert_ne!(Trying::of(&[8; 32], "a@b.example", None), of("none"), "hashed under the key");
    }

    #[test]
    fn it_is_hmac_sha_256() {
        // RFC 4231, test case 1: a key of 20 bytes is the same as one with zeros behind it.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let expected = [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53, 0x5c, 0xa8, 0xaf, 0xce, 0xaf, 0x0b, 0xf1, 0x2b];
        assert_eq!(hmac(&key, &[b"Hi There"]), expected);
    }
}
