//! Changes a password: verifies the old one, hashes the new one, then writes.

use std::sync::Arc;

use monolite_service::{Flow, Outcome, Refused, Tx, message, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::credentials::CredentialsById;
use super::passwords::Passwords;
use super::rights::{is_admin, may};
use super::rows;
use crate::{ChangePassword, Secret, UserId};

pub(super) const RAISE_VERSION: &str = "UPDATE users SET credentials_version = credentials_version + 1, \
     version = version + 1, changed_at = ?3 WHERE id = ?1 AND credentials_version = ?2";
pub(super) const REPLACE: &str = "UPDATE passwords SET hash = ?2 WHERE user_id = ?1";

/// The second half of changing a password. Never served.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct ReplacePassword {
    pub(super) id: UserId,
    pub(super) hash: Secret,
    pub(super) credentials_version: u64,
}

message!(ReplacePassword => ());

pub(super) async fn change_password(f: Flow, m: ChangePassword, passwords: Arc<Passwords>) -> Outcome<ChangePassword> {
    if !may(f.caller(), m.id) {
        return Err(rows::not_found().into());
    }
    let stored = f.call(CredentialsById { id: m.id }).await?.ok_or_else(rows::not_found)?;
    match m.old_password {
        Some(old) => {
            if !passwords.verify(old, Some(stored.hash)).await? {
                return Err(Refused::invalid("old_password", "is wrong").into());
            }
        }
        // For one's own, a token is not enough: whoever stole it could take the account over.
        None if is_admin(f.caller()) && f.caller().user() != Some(m.id) => {}
        None => return Err(Refused::invalid("old_password", "is missing").into()),
    }
    let hash = passwords.hash(m.new_password).await?;
    f.call(ReplacePassword { id: m.id, hash, credentials_version: stored.credentials_version }).await
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
