//! Imports: many documents in one message, each with its own result.

use super::{DocumentId, IMPORT_BYTES_MAX, IMPORT_DOCUMENTS_MAX, Prepared, problems};
use monolite_service::{Check, FieldError, Json, UserId, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adds documents, and replaces those whose key the owner has already. All that are well are kept together or, if the
/// write fails, none; one that is not well is refused alone.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImportDocuments {
    /// Whose they become; the caller's own unless an admin, or the system itself, names another user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// The documents: at most 128, and at most 1 MiB of JSON or a single document.
    pub documents: Vec<NewDocument>,
}

message!(ImportDocuments => ImportReport, check check);

/// A document to import.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NewDocument {
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The owner's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The document: any JSON.
    pub body: Json,
    #[doc(hidden)]
    #[serde(skip)]
    pub prepared: Prepared,
}

impl NewDocument {
    /// A document to import.
    pub fn new(key: Option<String>, title: Option<String>, body: Json) -> Self {
        NewDocument { title, key, body, prepared: Prepared::default() }
    }

    /// What is wrong with it, if anything.
    pub(crate) fn wrong(&self) -> Vec<FieldError> {
        let wrong = problems(self.title.as_deref(), self.key.as_deref(), self.prepared.of(&self.body));
        wrong.into_iter().map(|(field, why)| FieldError::new(field, why)).collect()
    }
}

/// What became of an import's documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImportReport {
    /// The result of each document, in their order.
    pub results: Vec<Imported>,
}

/// What became of one document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Imported {
    /// It is new.
    Created(DocumentId),
    /// It took the place of the one with its key.
    Replaced(DocumentId),
    /// It is not well, and nothing was done for it.
    Refused(Vec<FieldError>),
}

fn check(m: &ImportDocuments, c: &mut Check) {
    c.field("documents", m.documents.len() <= IMPORT_DOCUMENTS_MAX, "are more than 128");
    let beyond_first: usize = m.documents.iter().skip(1).map(|d| d.body.as_str().len()).sum();
    c.field("documents", beyond_first as u64 <= IMPORT_BYTES_MAX, "are more than 1 MiB beyond the first");
    for document in &m.documents {
        document.prepared.of(&document.body); // here, not on the writer
    }
}
