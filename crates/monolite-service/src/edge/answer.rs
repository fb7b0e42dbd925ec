//! Answers: a reply as bytes, with what an edge needs to know about it.

use super::Rejection;
use crate::engine::{Commit, Replied, Serving};
use crate::message::Message;
use bytes::Bytes;

/// A reply with its types erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The JSON of the reply, or a blob's bytes; empty for a reply that is `()`.
    pub body: Bytes,
    /// Of a blob, what its bytes are; none means JSON.
    pub content_type: Option<String>,
    /// Where the created thing is found, below `/api/v1`.
    pub location: Option<String>,
    /// The version of what the reply shows.
    pub version: Option<u64>,
    /// The commit it was written by or read from.
    pub commit: Option<Commit>,
}

impl Answer {
    pub(crate) fn of<M: Message>(_replied: Replied<M::Reply>, _serving: Serving) -> Result<Answer, Rejection> {
        unimplemented!()
    }
}
