//! Set a setting.

use monolite_service::{Json, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Scope, Setting};

/// The longest value.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Sets a value. Not found if the program declares no such key; the system's are set by admins.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SetSetting {
    /// Which.
    pub key: String,
    /// Whose; the caller's own if absent.
    #[serde(default)]
    pub scope: Scope,
    /// The new value: any JSON of at most 16 KiB.
    pub value: Json,
    /// Only if what holds still has this version; otherwise refused as stale.
    #[serde(default)]
    pub if_match: Option<u64>,
}

message!(SetSetting => Setting, check |m, c| {
    c.field("value", m.value.as_str().len() <= VALUE_BYTES_MAX, "is larger than 16 KiB");
}, version |setting| setting.version);
