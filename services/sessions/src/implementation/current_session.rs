//! Shows the session that asks.

use monolite_service::{Outcome, Refused, Snapshot, params};

use super::rows;
use crate::CurrentSession;

pub(super) fn current_session(s: &Snapshot<'_>, _: &CurrentSession) -> Outcome<CurrentSession> {
    let not_found = || Refused::not_found("session");
    let id = s.caller().session().ok_or_else(not_found)?;
    s.one(rows::SESSION, params![id])?.ok_or_else(|| not_found().into())
}
