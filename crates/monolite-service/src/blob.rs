//! Blobs: replies that are bytes with a content type, not JSON.
//!
//! A [`Blob`] has its bytes with it. A [`LargeBlob`] says where they are: the edge reads them piece by piece, each by a
//! read of its own, at the pace at which they are taken.

use bytes::Bytes;
use monolite_store::Pieces;
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

/// A large value of the service's own table of pieces; the reply of a read that [`streams`](crate::Service::streams).
///
/// What it names must not change while it may be read: a value that only grows, or goes as a whole. If it goes, a
/// stream of it breaks off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeBlob {
    /// What the bytes are, as whoever brought them said.
    pub content_type: String,
    /// The table of pieces.
    pub table: String,
    /// The number of the value.
    pub value: u64,
    /// How many bytes of it are meant, from the first.
    pub length: u64,
    /// Their version, where they have one; it becomes the `ETag`.
    pub version: Option<u64>,
    /// The name under which they are to be kept: they are never shown as a page.
    pub attachment: Option<String>,
    /// How far they have come, where not all are there yet; then none are given.
    pub progress: Option<Progress>,
}

impl LargeBlob {
    /// So many bytes of a value.
    pub fn new(content_type: impl Into<String>, pieces: &Pieces, value: u64, length: u64) -> Self {
        let (content_type, table) = (content_type.into(), pieces.name().to_owned());
        LargeBlob { content_type, table, value, length, version: None, attachment: None, progress: None }
    }

    /// The same with a version.
    pub fn with_version(self, version: u64) -> Self {
        LargeBlob { version: Some(version), ..self }
    }

    /// The same, to be kept under a name.
    pub fn attached(self, name: impl Into<String>) -> Self {
        LargeBlob { attachment: Some(name.into()), ..self }
    }

    /// The same, while it arrives.
    pub fn with_progress(self, progress: Progress) -> Self {
        LargeBlob { progress: Some(progress), ..self }
    }
}

/// How far an upload has come: what a sender must know to go on with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Bytes that are kept; the upload goes on behind them.
    pub offset: u64,
    /// Nothing more is to come.
    pub complete: bool,
    /// How many bytes there are to be, where that is known.
    pub length: Option<u64>,
}

impl JsonSchema for Blob {
    fn schema_name() -> Cow<'static, str> {
        "Blob".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "binary" })
    }
}

impl JsonSchema for LargeBlob {
    fn schema_name() -> Cow<'static, str> {
        "LargeBlob".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "binary" })
    }
}
