//! Change a user's name or role.

use monolite_service::{Check, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Role, User, UserId, note, why_not_a_name};

/// Changes what is given and leaves the rest. Users rename themselves; a role is changed by admins only, and a changed
/// role ends the user's sessions. Refused as a conflict `last_admin` if no active admin would be left.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ChangeUser {
    /// Whom.
    pub id: UserId,
    /// The new name.
    #[serde(default)]
    pub name: Option<String>,
    /// The new role.
    #[serde(default)]
    pub role: Option<Role>,
    /// Only if this is still the user's version; otherwise refused as stale.
    #[serde(default)]
    pub if_match: Option<u64>,
}

message!(ChangeUser => User, check check, version |user| user.version);

fn check(m: &ChangeUser, c: &mut Check) {
    note(c, "name", m.name.as_deref().and_then(why_not_a_name));
    c.field("", m.name.is_some() || m.role.is_some(), "nothing to change: give a name or a role");
}
