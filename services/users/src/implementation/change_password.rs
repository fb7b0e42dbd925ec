//! Changes a password: takes a try, verifies the old password, hashes the new one, then writes.
//!
//! **Invariants**
//! - An old password is guessed no faster than [`Config::old_password`](super::Config::old_password) lets one: each try
//!   takes from the bucket of the user whose password it is, whoever asks, before the password is looked at.
//! - A change forgets the wrong tries; a try that the server was too busy to look at is given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use monolite_service::{Bucket, Failure, Flow, Gauge, GaugeKind, Millis, Outcome, Refused, Tx, message, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::credentials::{CredentialsById, Stored};
use super::passwords::Passwords;
use super::rights::{is_admin, may};
use super::rows;
use crate::{ChangePassword, Secret, UserId};

/// By a number that nobody foresees: a file that was put back and goes on from there does not give a version again that the
/// file it replaced gave, and with it what was granted under that one.
pub(super) const RAISE_VERSION: &str = "UPDATE users SET credentials_version = credentials_version + 1 + (random() & 4294967295), \
     version = version + 1, changed_at = ?3 WHERE id = ?1 AND credentials_version = ?2";
pub(super) const REPLACE: &str = "UPDATE passwords SET hash = ?2, tries_full_at = NULL WHERE user_id = ?1";
pub(super) const FULL_AT: &str = "SELECT tries_full_at FROM passwords WHERE user_id = ?1 AND tries_full_at IS NOT NULL";
pub(super) const TAKE: &str = "UPDATE passwords SET tries_full_at = ?2 WHERE user_id = ?1";
pub(super) const GIVE: &str = "UPDATE passwords SET tries_full_at = tries_full_at - ?2 WHERE user_id = ?1";

/// The second half of changing a password. Never served.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct ReplacePassword {
    pub(super) id: UserId,
    pub(super) hash: Secret,
    pub(super) credentials_version: u64,
}

/// Takes a try at the old password of a user.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct TakeOldPasswordTry {
    id: UserId,
}

/// Gives a try back that came to nothing: no password was looked at.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct GiveOldPasswordTry {
    id: UserId,
}

message!(ReplacePassword => ());
message!(TakeOldPasswordTry => ());
message!(GiveOldPasswordTry => ());

/// The bucket of tries at old passwords, and how often it was empty.
#[derive(Clone)]
pub(super) struct OldPasswords {
    bucket: Bucket,
    refused: Arc<AtomicU64>,
}

impl OldPasswords {
    pub(super) fn new(bucket: Bucket) -> Self {
        OldPasswords { bucket, refused: Arc::default() }
    }

    pub(super) fn gauge(&self) -> Gauge {
        let (name, help) =
            ("monolite_old_password_refused_total", "Changes of a password refused, the old one unseen.");
        let refused = self.refused.clone();
        Gauge::new(name, help, move || refused.load(Relaxed)).kind(GaugeKind::Counter)
    }

    fn take(&self, full_at: Option<Millis>, now: Millis) -> Result<Millis, Refused> {
        self.bucket.take(full_at, now).map_err(|wait| {
            self.refused.fetch_add(1, Relaxed);
            Refused::too_many("too_many_tries", wait)
        })
    }

    pub(super) fn take_try(&self, tx: &Tx<'_>, m: TakeOldPasswordTry) -> Outcome<TakeOldPasswordTry> {
        let full_at = self.take(tx.one(FULL_AT, params![m.id])?, tx.now())?;
        tx.run(TAKE, params![m.id, full_at])?;
        Ok(())
    }

    pub(super) fn give_back(&self, tx: &Tx<'_>, m: GiveOldPasswordTry) -> Outcome<GiveOldPasswordTry> {
        let refill = i64::try_from(self.bucket.refill.as_millis()).unwrap_or(i64::MAX);
        tx.run(GIVE, params![m.id, refill])?;
        Ok(())
    }
}

pub(super) async fn change_password(
    f: Flow,
    m: ChangePassword,
    passwords: Arc<Passwords>,
    old_passwords: OldPasswords,
) -> Outcome<ChangePassword> {
    if !may(f.caller(), m.id) {
        return Err(rows::not_found().into());
    }
    let stored = f.call(CredentialsById { id: m.id }).await?.ok_or_else(rows::not_found)?;
    let credentials_version = stored.credentials_version;
    // For one's own, a token is not enough: whoever stole it could take the account over.
    if m.old_password.is_none() && (!is_admin(f.caller()) || f.caller().user() == Some(m.id)) {
        return Err(Refused::invalid("old_password", "is missing").into());
    }
    let is_tried = m.old_password.is_some() && !f.caller().is_system();
    if is_tried {
        // Looked at before anything is written, so that a flood of tries beyond the bound costs no write.
        old_passwords.take(stored.tries_full_at, f.now())?;
        f.call(TakeOldPasswordTry { id: m.id }).await?;
    }
    match hash_new(&f, m.old_password, stored, m.new_password, &passwords).await {
        Ok(Some(hash)) => f.call(ReplacePassword { id: m.id, hash, credentials_version }).await,
        Ok(None) => Err(Refused::invalid("old_password", "is wrong").into()),
        Err(failure) => {
            if is_tried {
                let _ = f.call(GiveOldPasswordTry { id: m.id }).await;
            }
            Err(failure.into())
        }
    }
}

/// The hash of the new password, or none where the old one is wrong.
async fn hash_new(
    f: &Flow,
    old: Option<Secret>,
    stored: Stored,
    new: Secret,
    passwords: &Passwords,
) -> Result<Option<Secret>, Failure> {
    let tenant = f.caller().tenant();
    if let Some(old) = old
        && !passwords.verify(tenant, old, Some(stored.hash)).await?
    {
        return Ok(None);
    }
    passwords.hash(tenant, new).await.map(Some)
}

/// Only if nothing was changed since the old password was verified: of two changes at once, one wins and the other
/// is told so.
pub(super) fn replace_password(tx: &Tx<'_>, m: ReplacePassword) -> Outcome<ReplacePassword> {
    if tx.run(RAISE_VERSION, params![m.id, m.credentials_version, tx.now()])? == 0 {
        return Err(Refused::conflict("credentials_changed").into());
    }
    tx.run(REPLACE, params![m.id, m.hash.expose()])?;
    Ok(())
}
