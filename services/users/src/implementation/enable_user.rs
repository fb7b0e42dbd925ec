//! Enables a disabled user again.

use monolite_service::{Outcome, Refused, Tx, params};

use super::rights::is_admin;
use super::rows;
use crate::EnableUser;

/// The credentials' version stays: what was granted before the disabling stays ended.
pub(super) const ENABLE: &str = "UPDATE users SET disabled_at = NULL, version = version + 1, changed_at = ?2 WHERE id = ?1 AND disabled_at IS NOT NULL";

pub(super) fn enable_user(tx: &Tx<'_>, m: EnableUser) -> Outcome<EnableUser> {
    if !is_admin(tx.caller()) {
        return Err(Refused::forbidden("only admins enable users").into());
    }
    tx.run(ENABLE, params![m.id, tx.now()])?;
    rows::user(tx, m.id)
}
