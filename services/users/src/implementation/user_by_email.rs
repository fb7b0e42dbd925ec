//! Finds a user by address.

use monolite_service::{Outcome, Snapshot, params};

use super::rights::may;
use super::rows;
use crate::{User, UserByEmail};

pub(super) fn user_by_email(s: &Snapshot<'_>, m: &UserByEmail) -> Outcome<UserByEmail> {
    let found: Option<User> = s.one(rows::USER_BY_EMAIL, params![m.email])?;
    found.filter(|user| may(s.caller(), user.id)).ok_or_else(|| rows::not_found().into())
}
