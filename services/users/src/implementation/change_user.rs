//! Changes a user's name or role.

use monolite_service::{Outcome, Refused, Tx, params};

use super::rights::{is_admin, may};
use super::rows;
use crate::{ChangeUser, Role};

/// Another role raises the credentials' version as a changed password does.
pub(super) const CHANGE: &str = "UPDATE users SET name = ?2, role = ?3, \
     credentials_version = credentials_version + ?4 * (1 + (random() & 4294967295)), \
     version = version + 1, changed_at = ?5 WHERE id = ?1";

pub(super) fn change_user(tx: &Tx<'_>, m: ChangeUser) -> Outcome<ChangeUser> {
    if !may(tx.caller(), m.id) {
        return Err(rows::not_found().into());
    }
    let before = rows::user(tx, m.id)?;
    if m.if_match.is_some_and(|version| version != before.version) {
        return Err(Refused::stale().into());
    }
    let role = m.role.unwrap_or(before.role);
    let other_role = role != before.role;
    if other_role && !is_admin(tx.caller()) {
        return Err(Refused::forbidden("only admins change roles").into());
    }
    let name = m.name.as_deref().map_or(before.name.as_str(), str::trim);
    if !other_role && name == before.name {
        return Ok(before);
    }
    let leaves = other_role && before.role == Role::Admin && !before.disabled;
    if leaves && !rows::another_admin(tx, m.id)? {
        return Err(Refused::conflict("last_admin").into());
    }
    tx.run(CHANGE, params![m.id, name, role.as_str(), other_role, tx.now()])?;
    rows::user(tx, m.id)
}
