//! Disables a user.

use monolite_service::{Outcome, Refused, Tx, params};

use super::rights::may;
use super::rows;
use crate::{DisableUser, Role};

/// The credentials' version rises as a changed password raises it.
pub(super) const DISABLE: &str = "UPDATE users SET disabled_at = ?2, \
     credentials_version = credentials_version + 1 + (random() & 4294967295), \
     version = version + 1, changed_at = ?2 WHERE id = ?1";

pub(super) fn disable_user(tx: &Tx<'_>, m: DisableUser) -> Outcome<DisableUser> {
    if !may(tx.caller(), m.id) {
        return Err(rows::not_found().into());
    }
    let before = rows::user(tx, m.id)?;
    if before.disabled {
        return Ok(before);
    }
    if before.role == Role::Admin && !rows::another_admin(tx, m.id)? {
        return Err(Refused::conflict("last_admin").into());
    }
    tx.run(DISABLE, params![m.id, tx.now()])?;
    rows::user(tx, m.id)
}
