//! Ends one session.

use monolite_service::{Outcome, Refused, Tx, params};
use monolite_users::Role;

use crate::EndSession;

pub(super) const END_OWN: &str = "DELETE FROM sessions WHERE id = ? AND user_id = ?";
pub(super) const END_ANY: &str = "DELETE FROM sessions WHERE id = ?";

pub(super) fn end_session(tx: &Tx<'_>, m: EndSession) -> Outcome<EndSession> {
    let ended = if tx.caller().has_role(Role::Admin.as_str()) {
        tx.run(END_ANY, params![m.id])?
    } else {
        tx.run(END_OWN, params![m.id, tx.user()?])?
    };
    if ended == 0 { Err(Refused::not_found("session").into()) } else { Ok(()) }
}
