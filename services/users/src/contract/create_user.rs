//! Create a user.

use monolite_service::{Check, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Role, Secret, User, note, why_not_a_name, why_not_a_new_password, why_not_an_email};

/// A new user. Admins only, unless the configuration opens registration: then anybody, but only for members.
/// Refused as a conflict `email_taken` if the address is in use, in whatever case.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CreateUser {
    /// The address to sign in with.
    pub email: String,
    /// 12 to 128 characters.
    pub password: Secret,
    /// How to call them; the part of the address before the @ if absent.
    #[serde(default)]
    pub name: Option<String>,
    /// What they may do; a member if absent.
    #[serde(default)]
    pub role: Role,
}

message!(CreateUser => User, check check, version |user| user.version);

fn check(m: &CreateUser, c: &mut Check) {
    note(c, "email", why_not_an_email(&m.email));
    note(c, "password", why_not_a_new_password(m.password.expose()));
    note(c, "name", m.name.as_deref().and_then(why_not_a_name));
}
