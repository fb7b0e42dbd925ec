//! Shows a user.

use monolite_service::{Outcome, Snapshot};

use super::rights::may;
use super::rows;
use crate::UserById;

pub(super) fn user_by_id(s: &Snapshot<'_>, m: &UserById) -> Outcome<UserById> {
    if !may(s.caller(), m.id) {
        return Err(rows::not_found().into());
    }
    rows::user(s, m.id)
}
