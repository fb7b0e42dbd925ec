//! Show several users at once: the everyday join of a service that keeps users' ids.

use monolite_service::message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{User, UserId};

/// The most ids in one call.
pub const IDS_MAX: usize = 200;

/// The users with these ids, in the order of the ids, each once. Ids of nobody, and of others than the caller (but for
/// admins), are left out.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UsersByIds {
    /// Whom; 200 at most.
    pub ids: Vec<UserId>,
}

message!(UsersByIds => Vec<User>, check |m, c| {
    c.field("ids", m.ids.len() <= IDS_MAX, "are more than 200");
});
