//! Signs out everywhere.

use monolite_service::{Outcome, Tx, params};

use crate::EndSessions;

/// Bounded: a user has at most [`Config::per_user_max`](super::Config::per_user_max) sessions.
pub(super) const END_ALL: &str = "DELETE FROM sessions WHERE user_id = ?";

pub(super) fn end_sessions(tx: &Tx<'_>, _: EndSessions) -> Outcome<EndSessions> {
    tx.run(END_ALL, params![tx.user()?])?;
    Ok(())
}
