//! Verifies who somebody is by address and password.
//!
//! **Invariants**
//! - Each way to the refusal goes through exactly one verification, on the same pool, at the same cost.
//! - The look-up by address is not counted in the answer's `Server-Timing`, which would tell in microseconds what the
//!   hash hides: whether there is somebody. (A hash of an older cost than the decoy's still tells it, until that user
//!   next signs in and it is renewed.)

use std::sync::Arc;

use monolite_service::{Flow, Outcome, Translate, Tx, message, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::credentials::{CredentialsByEmail, Stored};
use super::passwords::Passwords;
use crate::{Secret, UserById, UserId, Verified, VerifyPassword, WrongCredentials};

pub(super) const RENEW: &str = "UPDATE passwords SET hash = ?2 WHERE user_id = ?1 AND hash = ?3";

/// Replaces the hash of a password by one of the same password at the present cost. Grants stay.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct RenewHash {
    pub(super) id: UserId,
    pub(super) hash: Secret,
    pub(super) outdated: Secret,
}

message!(RenewHash => ());

pub(super) async fn verify_password(f: Flow, m: VerifyPassword, passwords: Arc<Passwords>) -> Outcome<VerifyPassword> {
    let nobody = |_| WrongCredentials;
    let stored: Option<Stored> = f.uncounted().call(CredentialsByEmail { email: m.email }).await.refused(nobody)?;
    let hash = stored.as_ref().map(|stored| stored.hash.clone());
    let fits = passwords.verify(f.caller().tenant(), m.password.clone(), hash).await?;
    let Some(stored) = stored.filter(|stored| fits && !stored.disabled) else {
        return Err(WrongCredentials.into());
    };
    let user = f.as_system().call(UserById { id: stored.id }).await.refused(nobody)?;
    if passwords.is_outdated(&stored.hash) {
        renew(&f, &passwords, stored.id, stored.hash, m.password).await;
    }
    Ok(Verified { user, credentials_version: stored.credentials_version })
}

/// A failure here (a full disk, a busy pool) is no reason not to let somebody in; the next sign-in tries again.
async fn renew(f: &Flow, passwords: &Passwords, id: UserId, outdated: Secret, password: Secret) {
    if let Ok(hash) = passwords.hash(f.caller().tenant(), password).await {
        let _ = f.call(RenewHash { id, hash, outdated }).await;
    }
}

pub(super) fn renew_hash(tx: &Tx<'_>, m: RenewHash) -> Outcome<RenewHash> {
    tx.run(RENEW, params![m.id, m.hash.expose(), m.outdated.expose()])?;
    Ok(())
}
