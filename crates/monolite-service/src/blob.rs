//! Blobs: replies that are bytes with a content type, not JSON.

use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Bytes with their content type; the reply of a read that [`streams`](crate::Service::streams).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// What the bytes are: `image/png`.
    pub content_type: String,
    /// The bytes.
    pub bytes: Bytes,
    /// Their version, where they have one; it becomes the `ETag`.
    pub version: Option<u64>,
}

impl Blob {
    /// Bytes of a content type.
    pub fn new(content_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Blob { content_type: content_type.into(), bytes: bytes.into(), version: None }
    }

    /// The same with a version.
    pub fn with_version(self, version: u64) -> Self {
        Blob { version: Some(version), ..self }
    }
}

impl JsonSchema for Blob {
    fn schema_name() -> Cow<'static, str> {
        "Blob".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "binary" })
    }
}
