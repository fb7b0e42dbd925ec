//! Read a setting.

use monolite_service::message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Scope, Setting};

/// The setting with this key; not found if the program declares none.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SettingByKey {
    /// Which.
    pub key: String,
    /// Whose; the caller's own if absent.
    #[serde(default)]
    pub scope: Scope,
}

message!(SettingByKey => Setting, version |setting| setting.version);
