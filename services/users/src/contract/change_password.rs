//! Change a password.

use monolite_service::{Check, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Secret, UserId, note, why_not_a_new_password, why_not_a_password};

/// A new password. All sessions of the user end at once, the one that asks included. Who is no admin shows the old
/// password; refused as invalid in `old_password` if it is not that.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ChangePassword {
    /// Whose.
    pub id: UserId,
    /// The present password; admins may leave it out, but not for their own.
    #[serde(default)]
    pub old_password: Option<Secret>,
    /// 12 to 128 characters.
    pub new_password: Secret,
}

message!(ChangePassword => (), check check);

fn check(m: &ChangePassword, c: &mut Check) {
    note(c, "old_password", m.old_password.as_ref().and_then(|p| why_not_a_password(p.expose())));
    note(c, "new_password", why_not_a_new_password(m.new_password.expose()));
}
