//! Lists of files.

use super::File;
use monolite_service::{Page, PageOf, UserId, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The caller's files, newest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct FilesByOwner {
    /// Whose; the caller's own unless an admin names another user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// Which page.
    #[serde(default)]
    pub page: PageOf,
}

message!(FilesByOwner => Page<File>);
