//! Lists of documents, without their JSON.

use super::DocumentId;
use monolite_service::{Millis, Page, PageOf, UserId, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The caller's documents, newest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DocumentsByOwner {
    /// Whose; the caller's own unless an admin names another user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// Only the document with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Which page.
    #[serde(default)]
    pub page: PageOf,
}

message!(DocumentsByOwner => Page<Line>);

/// A document in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// Its id.
    pub id: DocumentId,
    /// The owner's own name for it.
    pub key: Option<String>,
    /// What it is called.
    pub title: Option<String>,
    /// Its version.
    pub version: u64,
    /// When it was replaced last.
    pub changed_at: Millis,
    /// The length of its JSON.
    pub bytes: u64,
}
