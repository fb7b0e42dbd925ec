//! Passwords: their hashes, made and verified on a bounded pool.
//!
//! **Invariants**
//! - Each hash runs on the pool, never on the writer or the caller's thread.
//! - Verifying costs one hash of the present cost whether there is somebody or not: nobody's hash is a decoy that no
//!   password fits, with a salt and an output from the system's random numbers.
//! - A stored hash names its own parameters (a PHC string), so that the cost can rise without a migration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use monolite_service::{Failure, Pool, Tenant};

use super::Config;
use crate::Secret;

const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;

/// Hashes passwords and verifies them.
pub(super) struct Passwords {
    pool: Pool,
    params: Params,
    decoy: Secret,
    verified: Arc<AtomicU64>,
}

impl Passwords {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        let params = config.cost.params();
        Arc::new(Passwords {
            pool: Pool::new("passwords", config.hash_threads.max(1), config.hash_queue),
            decoy: decoy(&params),
            params,
            verified: Arc::new(AtomicU64::new(0)),
        })
    }

    /// Passwords that wait to be hashed.
    pub(super) fn waiting(&self) -> u64 {
        self.pool.waiting() as u64
    }

    /// The hash of a password, with a new salt, as a PHC string.
    pub(super) async fn hash(&self, tenant: Tenant, password: Secret) -> Result<Secret, Failure> {
        let params = self.params.clone();
        self.pool.run_for(tenant, move || hash(params, &password)).await?
    }

    /// Whether a password fits a hash; without a hash it never does, after the same work.
    pub(super) async fn verify(&self, tenant: Tenant, password: Secret, hash: Option<Secret>) -> Result<bool, Failure> {
        let somebody = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let (params, verified) = (self.params.clone(), self.verified.clone());
        let fits = self
            .pool
            .run_for(tenant, move || {
                verified.fetch_add(1, Ordering::Relaxed);
                verify(params, &password, &hash)
            })
            .await??;
        Ok(fits && somebody)
    }

    /// Whether a hash was made at another cost than the present one.
    pub(super) fn is_outdated(&self, hash: &Secret) -> bool {
        let of = |hash: &str| PasswordHash::new(hash).map(|h| (h.algorithm, h.params)).ok();
        of(hash.expose()) != of(self.decoy.expose())
    }

    /// Does something while the only thread and the only place in the queue are taken.
    #[cfg(test)]
    pub(super) fn while_busy<T>(&self, f: impl FnOnce() -> T) -> T {
        let (started, running) = std::sync::mpsc::sync_channel(0);
        let (open, gate) = std::sync::mpsc::sync_channel::<()>(0);
        let first = self.pool.run(move || {
            started.send(()).expect("the test waits");
            gate.recv().expect("the test opens it");
        });
        running.recv().expect("the pool has a thread");
        let second = self.pool.run(|| ());
        let done = f();
        open.send(()).expect("the first waits");
        monolite_runtime::block_on(async { first.await.and(second.await) }).expect("both are done");
        done
    }

    /// How many passwords were verified, decoys included.
    #[cfg(test)]
    pub(super) fn verified(&self) -> u64 {
        self.verified.load(Ordering::Relaxed)
    }
}

fn argon2(params: Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(params: Params, password: &Secret) -> Result<Secret, Failure> {
    let mut salt = [0; SALT_BYTES];
    fill(&mut salt)?;
    let hash: PasswordHash = argon2(params)
        .hash_password_with_salt(password.expose().as_bytes(), &salt)
        .map_err(|e| Failure::internal(format!("a password could not be hashed: {e}")))?;
    Ok(Secret::new(hash.to_string()))
}

/// The hash's own parameters are used, not `params`; those only make the context. The comparison is in constant time.
fn verify(params: Params, password: &Secret, hash: &Secret) -> Result<bool, Failure> {
    use argon2::password_hash::Error;
    let wrong_hash = |e| Failure::internal(format!("a stored password hash is unusable: {e}"));
    let hash = PasswordHash::new(hash.expose())
        .map_err(|e| Failure::internal(format!("a stored password hash is unusable: {e}")))?;
    match argon2(params).verify_password(password.expose().as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(Error::PasswordInvalid) => Ok(false),
        Err(e) => Err(wrong_hash(e)),
    }
}

/// A hash in the right form that nobody made: it costs no hash to build, and as much as any to verify.
fn decoy(params: &Params) -> Secret {
    let mut random = [0; SALT_BYTES + OUTPUT_BYTES];
    fill(&mut random).expect("the system gives random bytes at start");
    let (salt, output) = random.split_at(SALT_BYTES);
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: params.try_into().expect("argon2's parameters have a text form"),
        salt: Some(Salt::new(salt).expect("16 bytes are a salt")),
        hash: Some(Output::new(output).expect("32 bytes are an output")),
    };
    Secret::new(hash.to_string())
}

fn fill(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(|e| Failure::internal(format!("the system gives no random bytes: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cost;
    use proptest::prelude::*;

    fn cheap() -> Params {
        Cost::for_tests().params()
    }

    #[test]
    fn a_hash_is_argon2id_with_owasps_parameters_and_a_salt_of_its_own() {
        let params = Cost::default().params();
        let (one, two) =
            (hash(params.clone(), &"correct horse".into()).unwrap(), hash(params, &"correct horse".into()).unwrap());
        assert!(one.expose().starts_with("$argon2id$v=19$m=47104,t=1,p=1$"), "{}", one.expose());
        assert_ne!(one, two);
    }

    #[test]
    fn the_decoy_has_the_parameters_of_a_real_hash_and_fits_nothing() {
        let (decoy, real) = (decoy(&cheap()), hash(cheap(), &"correct horse".into()).unwrap());
        let head = |s: &Secret| s.expose().split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(head(&decoy), head(&real));
        assert_eq!(decoy.expose().len(), real.expose().len());
        assert!(!verify(cheap(), &"correct horse".into(), &decoy).unwrap());
    }

    #[test]
    fn a_hash_of_another_cost_verifies_and_is_outdated() {
        let old = hash(cheap(), &"correct horse".into()).unwrap();
        let dear = Cost::new(19_456, 2).unwrap();
        assert!(verify(dear.params(), &"correct horse".into(), &old).unwrap());
        let passwords = Passwords::new(&Config { cost: dear, ..Config::default() });
        assert!(passwords.is_outdated(&old));
        assert!(!passwords.is_outdated(&hash(dear.params(), &"correct horse".into()).unwrap()));
    }

    #[test]
    fn a_damaged_hash_is_a_failure_that_does_not_show_it() {
        let failure = verify(cheap(), &"correct horse".into(), &"$argon2id$v=19$leak".into()).unwrap_err();
        assert!(!failure.to_string().contains("leak"), "{failure}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn only_the_very_same_text_fits(password in "\\PC{12,40}", other in "\\PC{12,40}", cut in 1usize..12) {
            let hash = hash(cheap(), &password.clone().into()).unwrap();
            prop_assert!(verify(cheap(), &password.clone().into(), &hash).unwrap());
            prop_assert_eq!(verify(cheap(), &other.clone().into(), &hash).unwrap(), other == password);
            let shorter: String = password.chars().skip(cut).collect();
            prop_assert!(!verify(cheap(), &shorter.into(), &hash).unwrap());
            let longer = format!("{password}\0");
            prop_assert!(!verify(cheap(), &longer.into(), &hash).unwrap());
        }
    }
}
