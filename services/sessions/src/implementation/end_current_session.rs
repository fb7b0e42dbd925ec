//! Signs out.

use monolite_service::{Outcome, Refused, Tx, params};

use crate::EndCurrentSession;

pub(super) const END: &str = "DELETE FROM sessions WHERE id = ?";

/// Ended already is ended: two requests to sign out may cross.
pub(super) fn end_current_session(tx: &Tx<'_>, _: EndCurrentSession) -> Outcome<EndCurrentSession> {
    let id = tx.caller().session().ok_or_else(|| Refused::not_found("session"))?;
    tx.run(END, params![id])?;
    Ok(())
}
