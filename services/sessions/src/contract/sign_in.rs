//! Sign in.

use std::borrow::Cow;
use std::time::Duration;

use monolite_service::{Check, Refusal, RefusalKind, message};
use monolite_users::{Secret, User, WrongCredentials};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Session;

/// Begins a session for whoever has this address and this password. An unknown address, a wrong password and a disabled
/// user are one refusal. Wrong tries are counted, per account, per network and in all.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SignIn {
    /// The address, in whatever case.
    pub email: String,
    /// The password.
    pub password: Secret,
}

message!(SignIn => SignedIn, refuses SignInRefused, check |m, c: &mut Check| {
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

/// Why nobody was signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignInRefused {
    /// There is no active user with this address and this password; which of the two was wrong is not said.
    WrongCredentials,
    /// It was tried too often with a wrong password, for this account, from this network, or in all.
    TooManyTries {
        /// When one more try is left.
        retry_after_ms: u64,
    },
}

impl SignInRefused {
    /// Tried too often; one more try is left after this time.
    pub(crate) fn too_many(wait: Duration) -> Self {
        SignInRefused::TooManyTries { retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) }
    }
}

impl From<WrongCredentials> for SignInRefused {
    fn from(_: WrongCredentials) -> Self {
        SignInRefused::WrongCredentials
    }
}

impl Refusal for SignInRefused {
    fn kind(&self) -> RefusalKind {
        match self {
            SignInRefused::WrongCredentials => RefusalKind::Unauthenticated,
            SignInRefused::TooManyTries { .. } => RefusalKind::TooMany,
        }
    }

    fn code(&self) -> Cow<'static, str> {
        match self {
            SignInRefused::WrongCredentials => "wrong_credentials".into(),
            SignInRefused::TooManyTries { .. } => "too_many_tries".into(),
        }
    }

    fn detail(&self) -> String {
        match self {
            SignInRefused::WrongCredentials => WrongCredentials.detail(),
            SignInRefused::TooManyTries { .. } => "there were too many wrong tries to sign in; wait".into(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            SignInRefused::WrongCredentials => None,
            SignInRefused::TooManyTries { retry_after_ms } => Some(Duration::from_millis(*retry_after_ms)),
        }
    }
}
