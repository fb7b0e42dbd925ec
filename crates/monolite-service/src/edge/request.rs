//! Requests: fields by name, a body, and how they become a message.

use super::Takes;
use crate::failure::Failure;
use bytes::Bytes;
use serde::de::DeserializeOwned;

/// A request as an edge hands it in.
#[derive(Debug, Clone, Default)]
pub struct Request<'r> {
    /// Fields from the path and the query, decoded, as text; typed by the message they go to.
    pub fields: &'r [(&'r str, &'r str)],
    /// A body: a JSON object with the other fields, or where the message [takes](Takes::body) it whole, its field `body`.
    pub body: Option<&'r [u8]>,
    /// The version that the caller's precondition names.
    pub if_match: Option<u64>,
    /// The bytes of an upload.
    pub upload: Option<Bytes>,
}

impl Request<'_> {
    /// The message in it.
    pub fn read<M: DeserializeOwned>(&self, _takes: &Takes) -> Result<M, Failure> {
        unimplemented!()
    }
}
