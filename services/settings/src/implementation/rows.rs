//! What holds for a scope now: the user's value, else the system's, else the default.

use monolite_service::{Error, Failure, Json, Refused, Snapshot, UserId, params};
use serde::Deserialize;

use super::declared::Declared;
use crate::{Origin, Scope, Setting};

const USERS: &str = "SELECT value, version FROM user_settings WHERE user_id = ? AND key = ?";
const SYSTEMS: &str = "SELECT value, version FROM system_settings WHERE key = ?";

/// The statements of Settings, prepared at start.
pub(super) const STATEMENTS: &[&str] =
    &[USERS, SYSTEMS, super::set_setting::NEXT_VERSION, super::set_setting::SET_SYSTEMS, super::set_setting::SET_USERS];

#[derive(Deserialize)]
struct Row {
    value: Json,
    version: u64,
}

/// Whose value: the user's with an id, or the system's.
pub(super) fn owner(s: &Snapshot<'_>, scope: Scope) -> Result<Option<UserId>, Failure> {
    match scope {
        Scope::User => s.user().map(Some),
        Scope::System => Ok(None),
    }
}

/// The setting that holds; refused as not found if it is not declared.
pub(super) fn holding(
    s: &Snapshot<'_>,
    key: &str,
    owner: Option<UserId>,
    declared: &Declared,
) -> Result<Setting, Error> {
    let default = declared.default_of(key).ok_or_else(|| Refused::not_found("setting"))?;
    let scope = if owner.is_some() { Scope::User } else { Scope::System };
    let setting =
        |row: Row, origin| Setting { key: key.to_owned(), scope, value: row.value, origin, version: row.version };
    if let Some(user) = owner
        && let Some(row) = s.one::<Row>(USERS, params![user, key])?
    {
        return Ok(setting(row, Origin::User));
    }
    if let Some(row) = s.one::<Row>(SYSTEMS, params![key])? {
        return Ok(setting(row, Origin::System));
    }
    Ok(setting(Row { value: default.clone(), version: 0 }, Origin::Default))
}
