//! The end of a file.

use super::FileId;
use monolite_service::message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Deletes a file, complete or not. Its room is free for others within seconds; whoever fetches it is cut off.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeleteFile {
    /// The file.
    pub id: FileId,
}

message!(DeleteFile => ());
