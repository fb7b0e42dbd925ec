//! The content of a file: sent and fetched.

use super::{File, FileId};
use monolite_service::{LargeBlob, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Brings the content of a file, or more of it. The answer tells how far it has come.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PutContent {
    /// The file.
    pub id: FileId,
    /// Where the bytes that come belong; it must be where the content stands, which is 0 for a new file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_offset: Option<u64>,
    /// Whether the content ends with these bytes; yes unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_complete: Option<bool>,
    /// How many bytes the whole content has, where that was not declared before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_length: Option<u64>,
}

message!(PutContent => File, progress |file| file.progress());

impl PutContent {
    /// The whole content of a new file.
    pub fn of(id: FileId) -> Self {
        PutContent { id, upload_offset: None, upload_complete: None, upload_length: None }
    }
}

/// The content of a file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FileContent {
    /// The file.
    pub id: FileId,
}

message!(FileContent => LargeBlob);
