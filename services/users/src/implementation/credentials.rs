//! What is stored to verify somebody by. Never served, and private to this crate: the replies carry hashes.

use monolite_service::{Millis, Outcome, Snapshot, message, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Secret, UserId};

pub(super) const BY_ID: &str = "SELECT id, hash, disabled_at IS NOT NULL AS disabled, credentials_version, \
     tries_full_at FROM users JOIN passwords ON user_id = id WHERE id = ?";
pub(super) const BY_EMAIL: &str = "SELECT id, hash, disabled_at IS NOT NULL AS disabled, credentials_version, \
     tries_full_at FROM users JOIN passwords ON user_id = id WHERE email = ?";

/// What one user is verified by.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Stored {
    pub(super) id: UserId,
    pub(super) hash: Secret,
    pub(super) disabled: bool,
    pub(super) credentials_version: u64,
    /// When the bucket of old passwords is full again.
    pub(super) tries_full_at: Option<Millis>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct CredentialsById {
    pub(super) id: UserId,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct CredentialsByEmail {
    pub(super) email: String,
}

message!(CredentialsById => Option<Stored>);
message!(CredentialsByEmail => Option<Stored>);

pub(super) fn credentials_by_id(s: &Snapshot<'_>, m: &CredentialsById) -> Outcome<CredentialsById> {
    Ok(s.one(BY_ID, params![m.id])?)
}

pub(super) fn credentials_by_email(s: &Snapshot<'_>, m: &CredentialsByEmail) -> Outcome<CredentialsByEmail> {
    Ok(s.one(BY_EMAIL, params![m.email])?)
}
