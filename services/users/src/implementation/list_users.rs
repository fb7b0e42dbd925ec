//! Lists users.

use monolite_service::{Outcome, Page, Snapshot, sql};

use super::rights::is_admin;
use super::rows::user_columns;
use super::users_by_ids::by_ids;
use crate::ListUsers;

pub(super) fn list_users(s: &Snapshot<'_>, m: &ListUsers) -> Outcome<ListUsers> {
    if let Some(ids) = &m.ids {
        return Ok(Page { items: by_ids(s, ids)?, next: None });
    }
    let only = if is_admin(s.caller()) { None } else { Some(s.user()?) };
    let query = sql(concat!("SELECT ", user_columns!(), " FROM users WHERE 1"))
        .and("id = ?", only)
        .and("role = ?", m.role.map(|role| role.as_str()))
        .and("(disabled_at IS NOT NULL) = ?", m.disabled);
    Ok(s.page(query, &["id"], &m.page)?)
}
