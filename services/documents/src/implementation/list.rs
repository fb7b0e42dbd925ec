//! Lists, newest first.

use super::whose;
use crate::contract::DocumentsByOwner;
use monolite_service::{Outcome, Snapshot, sql};

pub(super) fn by_owner(s: &Snapshot<'_>, m: &DocumentsByOwner) -> Outcome<DocumentsByOwner> {
    let query = sql("SELECT id, key, title, version, changed_at, octet_length(body) AS bytes
        FROM documents WHERE owner_id = ?")
    .bind(whose(s, m.owner)?)
    .and("key = ?", m.key.clone());
    Ok(s.page(query, &["id desc"], &m.page)?)
}
