//! Sets a setting.

use monolite_service::{OrRefuse, Outcome, Refused, Tx, params};

use super::declared::Declared;
use super::rows::{holding, owner};
use crate::{Origin, Scope, SetSetting, Setting};

/// The role that sets the system's values.
const ADMIN: &str = "admin";

pub(super) const NEXT_VERSION: &str = "UPDATE versions SET last = last + 1 RETURNING last";
pub(super) const SET_USERS: &str = "INSERT INTO user_settings(user_id, key, value, version, changed_at) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET value = ?3, version = ?4, changed_at = ?5";
pub(super) const SET_SYSTEMS: &str = "INSERT INTO system_settings(key, value, version, changed_at, changed_by) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET value = ?2, version = ?3, changed_at = ?4, changed_by = ?5";

pub(super) fn set_setting(tx: &Tx<'_>, m: SetSetting, declared: &Declared) -> Outcome<SetSetting> {
    if m.scope == Scope::System && !tx.caller().has_role(ADMIN) {
        return Err(Refused::forbidden("only admins set the system's settings").into());
    }
    let owner = owner(tx, m.scope)?;
    let holds = holding(tx, &m.key, owner, declared)?;
    if m.if_match.is_some_and(|version| version != holds.version) {
        return Err(Refused::stale().into());
    }
    let version: u64 = tx.insert(NEXT_VERSION, [])?;
    let value = m.value.as_str();
    let origin = match owner {
        Some(user) => {
            tx.run(SET_USERS, params![user, m.key, value, version, tx.now()]).checked(too_deep())?;
            Origin::User
        }
        None => {
            tx.run(SET_SYSTEMS, params![m.key, value, version, tx.now(), tx.caller().user()]).checked(too_deep())?;
            Origin::System
        }
    };
    Ok(Setting { key: m.key, scope: m.scope, value: m.value, origin, version })
}

/// What SQLite's `json_valid` refuses of JSON that was read: more than 1,000 levels.
fn too_deep() -> Refused {
    Refused::invalid("value", "is nested too deeply")
}
