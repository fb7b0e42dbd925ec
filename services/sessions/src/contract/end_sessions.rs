//! Sign out everywhere.

use monolite_service::message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Ends all sessions of the caller, the one that asks included.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct EndSessions {}

message!(EndSessions => ());
