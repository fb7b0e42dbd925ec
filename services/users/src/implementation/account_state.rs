//! Answers whether grants still hold; on the way of every authenticated request.

use monolite_service::{Outcome, Snapshot, params};

use crate::AccountState;

pub(super) const ACCOUNT: &str =
    "SELECT role, disabled_at IS NOT NULL AS disabled, credentials_version FROM users WHERE id = ?";

pub(super) fn account_state(s: &Snapshot<'_>, m: &AccountState) -> Outcome<AccountState> {
    Ok(s.one(ACCOUNT, params![m.id])?)
}
