//! List one's sessions.

use monolite_service::{Page, PageOf, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Session;

/// The caller's sessions that have not ended, the oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListSessions {
    /// Which page.
    #[serde(default)]
    pub page: PageOf,
}

message!(ListSessions => Page<Session>);
