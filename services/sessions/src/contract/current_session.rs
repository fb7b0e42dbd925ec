//! Show the session that asks.

use monolite_service::message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Session;

/// The session by which the caller is signed in; not found for a caller without one.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct CurrentSession {}

message!(CurrentSession => Session);
