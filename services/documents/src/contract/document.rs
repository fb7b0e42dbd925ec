//! One document: created, read, replaced, deleted.

use super::{Prepared, note, problems};
use monolite_service::{Json, Millis, UserId, Uuid, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The id of a document: UUIDv7.
pub type DocumentId = Uuid;

/// Adds a document of the caller; where the caller has one with this key already, replaces that one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreateDocument {
    /// What it is called in lists, and what suggestions are made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The caller's own name for it: any text of 1 to 512 bytes, unique among the caller's documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The document: any JSON.
    pub body: Json,
    #[doc(hidden)]
    #[serde(skip)]
    pub prepared: Prepared,
}

message!(CreateDocument => Stored,
    check |m, c| note(c, &problems(m.title.as_deref(), m.key.as_deref(), m.prepared.of(&m.body))),
    version |r| r.version);

impl CreateDocument {
    /// A document without title or key.
    pub fn new(body: Json) -> Self {
        CreateDocument { title: None, key: None, body, prepared: Prepared::default() }
    }

    /// The same with a title.
    pub fn titled(self, title: impl Into<String>) -> Self {
        CreateDocument { title: Some(title.into()), ..self }
    }

    /// The same with the caller's own key.
    pub fn keyed(self, key: impl Into<String>) -> Self {
        CreateDocument { key: Some(key.into()), ..self }
    }
}

/// Where a document was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stored {
    /// The document.
    pub id: DocumentId,
    /// Its version: 1, and one more with each replacement.
    pub version: u64,
}

/// Replaces the JSON of a document, and its title if one is given.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReplaceDocument {
    /// The document.
    pub id: DocumentId,
    /// The new title; without one it keeps the title it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The version that is replaced; if it is not the current one, nothing is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<u64>,
    /// The document: any JSON.
    pub body: Json,
    #[doc(hidden)]
    #[serde(skip)]
    pub prepared: Prepared,
}

message!(ReplaceDocument => Stored,
    check |m, c| note(c, &problems(m.title.as_deref(), None, m.prepared.of(&m.body))),
    version |r| r.version);

impl ReplaceDocument {
    /// Whatever the document is now becomes this.
    pub fn new(id: DocumentId, body: Json) -> Self {
        ReplaceDocument { id, title: None, if_match: None, body, prepared: Prepared::default() }
    }
}

/// Deletes a document.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeleteDocument {
    /// The document.
    pub id: DocumentId,
    /// The version that is deleted; if it is not the current one, nothing is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<u64>,
}

message!(DeleteDocument => ());

/// One document, whole.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DocumentById {
    /// The document.
    pub id: DocumentId,
}

message!(DocumentById => Document, version |r| r.version);

/// A document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// Its id.
    pub id: DocumentId,
    /// Whose it is.
    pub owner_id: UserId,
    /// The owner's own name for it.
    pub key: Option<String>,
    /// What it is called.
    pub title: Option<String>,
    /// Its version: 1, and one more with each replacement.
    pub version: u64,
    /// When it was created.
    pub created_at: Millis,
    /// When it was replaced last.
    pub changed_at: Millis,
    /// The JSON, as it came in.
    pub body: Json,
}
