//! Verify who somebody is by address and password: the heart of signing in.

use std::borrow::Cow;

use monolite_service::{Check, Refusal, RefusalKind, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Secret, User, note, why_not_a_password};

/// The user with this address and password. For flows such as signing in; not served over HTTP.
///
/// An unknown address, a wrong password and a disabled user are one refusal, after one hash each.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VerifyPassword {
    /// The address, in whatever case.
    pub email: String,
    /// The password.
    pub password: Secret,
}

message!(VerifyPassword => Verified, refuses WrongCredentials, check |m, c: &mut Check| {
    note(c, "password", why_not_a_password(m.password.expose()));
});

/// A user who has shown who they are, and what must still hold for that to stay true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verified {
    /// Who.
    pub user: User,
    /// Store this with what is granted; grant nothing once [`Account`](super::Account) shows another.
    pub credentials_version: u64,
}

/// There is no active user with this address and this password; which of the two was wrong is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WrongCredentials;

impl Refusal for WrongCredentials {
    fn kind(&self) -> RefusalKind {
        RefusalKind::Unauthenticated
    }

    fn code(&self) -> Cow<'static, str> {
        "wrong_credentials".into()
    }

    fn detail(&self) -> String {
        "the address or the password is wrong".into()
    }
}
