//! Whose setting.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose setting is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The caller's own.
    #[default]
    User,
    /// The whole system's.
    System,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The user set it.
    User,
    /// An admin set it for the system.
    System,
    /// Nobody set it: the program's default.
    Default,
}
