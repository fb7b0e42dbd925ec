//! Lists one's sessions.

use monolite_service::{Outcome, Snapshot, sql};

use super::rows::session_columns;
use crate::ListSessions;

pub(super) fn list_sessions(s: &Snapshot<'_>, m: &ListSessions) -> Outcome<ListSessions> {
    let query = sql(concat!("SELECT ", session_columns!(), " FROM sessions WHERE user_id = ?"))
        .bind(s.user()?)
        .and("expires_at > ?", Some(s.now()));
    Ok(s.page(query, &["id"], &m.page)?)
}
