//! Sign out.

use monolite_service::message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Ends the session by which the caller is signed in.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct EndCurrentSession {}

message!(EndCurrentSession => ());
