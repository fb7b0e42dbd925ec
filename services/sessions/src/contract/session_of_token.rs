//! Find the session of a token: what the authenticator asks on every request.

use monolite_service::{UserId, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SessionId, TokenHash};

/// What a token grants now, if its session has neither expired nor ended; notes that the session was seen.
/// For authenticators: not served over HTTP.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
pub struct SessionOfToken {
    /// The hash of the token.
    pub token: TokenHash,
}

message!(SessionOfToken => Option<Grant>);

/// What a session grants, as long as the account's `credentials_version` is this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// The session.
    pub session: SessionId,
    /// The user.
    pub user: UserId,
    /// The version of the user's credentials when the session began.
    pub credentials_version: u64,
}
