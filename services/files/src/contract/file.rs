//! A file, without its content.

use monolite_service::{Millis, Progress, UserId, Uuid, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The id of a file: UUIDv7.
pub type FileId = Uuid;

/// What is known of a file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FileById {
    /// The file.
    pub id: FileId,
}

message!(FileById => File, progress |file| file.progress());

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct File {
    /// Its id.
    pub id: FileId,
    /// Whose it is.
    pub owner_id: UserId,
    /// What it is called.
    pub name: String,
    /// What its content is, as the client said.
    pub content_type: String,
    /// Bytes of the whole content, where they were declared or are all there.
    pub size: Option<u64>,
    /// The content's SHA-256 in hexadecimal, where it was declared or the content is all there.
    pub sha256: Option<String>,
    /// Bytes of the content that are there.
    pub received: u64,
    /// All of the content is there.
    pub complete: bool,
    /// When it was created.
    pub created_at: Millis,
    /// When it goes, if nothing more of its content comes before.
    pub expires_at: Option<Millis>,
}

impl File {
    /// How far its upload has come.
    pub fn progress(&self) -> Progress {
        Progress { offset: self.received, complete: self.complete, length: self.size }
    }
}
