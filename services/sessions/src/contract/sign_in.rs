//! Sign in.

use monolite_service::{Check, message};
use monolite_users::{Secret, User, WrongCredentials};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Session;

/// Begins a session for whoever has this address and this password. An unknown address, a wrong password and a disabled
/// user are one refusal.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SignIn {
    /// The address, in whatever case.
    pub email: String,
    /// The password.
    pub password: Secret,
}

message!(SignIn => SignedIn, refuses WrongCredentials, check |m, c: &mut Check| {
    let why = monolite_users::why_not_a_password(m.password.expose());
    c.field("password", why.is_none(), why.unwrap_or_default());
});

/// A session has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedIn {
    /// The bearer token; shown this once.
    pub token: Secret,
    /// The session.
    pub session: Session,
    /// Who signed in.
    pub user: User,
}
