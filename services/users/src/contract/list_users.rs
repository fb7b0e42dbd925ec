//! List users.

use monolite_service::{Check, Page, PageOf, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{IDS_MAX, Role, User, UserId};

/// A page of users, oldest first; or, with `ids`, the users with these ids in one page, as by
/// [`UsersByIds`](super::UsersByIds). Whoever is no admin finds only themselves.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListUsers {
    /// Only these; 200 at most.
    #[serde(default)]
    pub ids: Option<Vec<UserId>>,
    /// Only those of this role.
    #[serde(default)]
    pub role: Option<Role>,
    /// Only those who are disabled, or who are not.
    #[serde(default)]
    pub disabled: Option<bool>,
    /// Which page.
    #[serde(default)]
    pub page: PageOf,
}

message!(ListUsers => Page<User>, check check);

fn check(m: &ListUsers, c: &mut Check) {
    let Some(ids) = &m.ids else { return };
    let alone = m.role.is_none() && m.disabled.is_none() && m.page == PageOf::default();
    c.field("ids", ids.len() <= IDS_MAX, "are more than 200");
    c.field("ids", alone, "go with no other filter and no page");
}
