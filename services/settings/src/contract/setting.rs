//! A setting.

use monolite_service::Json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Origin, Scope};

/// A setting, as it holds for a scope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// Which.
    pub key: String,
    /// Whose.
    pub scope: Scope,
    /// The value that holds.
    pub value: Json,
    /// Whose value that is.
    pub origin: Origin,
    /// The value's version, the `ETag`; 0 for the default.
    pub version: u64,
}
