//! The body of an answer: bytes in one piece without a box, pieces of a blob, or whatever an axum route made.
//!
//! **Invariants**
//! - The hot path (one JSON text) allocates nothing here.

use crate::serve::Busy;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of an answer.
pub struct Body(Inner);

enum Inner {
    Whole(Bytes),
    Boxed(axum::body::Body, Option<Busy>),
}

impl Body {
    /// Nothing.
    pub const fn empty() -> Self {
        Body(Inner::Whole(Bytes::new()))
    }

    /// A body that some other code streams.
    pub fn boxed(body: axum::body::Body) -> Self {
        Body(Inner::Boxed(body, None))
    }

    /// Keeps the connection excused from progress while a stream goes on; a whole body needs no excuse.
    pub(crate) fn hold(&mut self, busy: Busy) {
        if let Inner::Boxed(_, held) = &mut self.0 {
            *held = Some(busy);
        }
    }

    /// Turns it into axum's own, for a router that embeds the edge.
    pub fn into_axum(self) -> axum::body::Body {
        match self.0 {
            Inner::Whole(bytes) => axum::body::Body::from(bytes),
            Inner::Boxed(body, _) => body,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body(Inner::Whole(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Body(Inner::Whole(Bytes::from(bytes)))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.get_mut().0 {
            Inner::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inner::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Inner::Boxed(body, _) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(bytes) => bytes.is_empty(),
            Inner::Boxed(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Boxed(body, _) => body.size_hint(),
        }
    }
}
