//! The state of an account: what an authenticator asks on every request.

use monolite_service::message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Role, UserId};

/// Whether somebody's grants still hold. For authenticators: it tells anybody about anybody, so it is not served over
/// HTTP. Nobody of this id is no refusal but [`None`]: the answer is wanted in a microsecond either way.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
pub struct AccountState {
    /// Whose.
    pub id: UserId,
}

message!(AccountState => Option<Account>);

/// The state of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// What the user may do now.
    pub role: Role,
    /// Whether the user is disabled now.
    pub disabled: bool,
    /// Rises with every disabling, password change and role change.
    pub credentials_version: u64,
}
