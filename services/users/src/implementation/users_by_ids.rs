//! Shows several users at once.

use std::collections::HashSet;

use monolite_service::{Failure, Outcome, Snapshot, params};

use super::rights::may;
use super::rows;
use crate::{User, UserId, UsersByIds};

pub(super) fn users_by_ids(s: &Snapshot<'_>, m: &UsersByIds) -> Outcome<UsersByIds> {
    Ok(by_ids(s, &m.ids)?)
}

/// A lookup for each: a microsecond or two, from a cached statement; the number of ids is bounded by the contract.
pub(super) fn by_ids(s: &Snapshot<'_>, ids: &[UserId]) -> Result<Vec<User>, Failure> {
    let mut seen = HashSet::with_capacity(ids.len());
    let mut users = Vec::with_capacity(ids.len());
    for &id in ids {
        if may(s.caller(), id) && seen.insert(id) {
            users.extend(s.one::<User>(rows::USER, params![id])?);
        }
    }
    Ok(users)
}
