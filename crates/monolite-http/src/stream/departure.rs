//! A large blob on its way out: each piece is read when the connection has room for it.
//!
//! **Invariants**
//! - Between two pieces nothing is held: no snapshot, no connection of a store, no bytes.
//! - A blob that ends before its length breaks the answer off; it is never cut short in silence.

use super::Place;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::problem::Problem;
use crate::table::Compiled;
use bytes::Bytes;
use http::Method;
use http_body::{Body as HttpBody, Frame, SizeHint};
use monolite_runtime::{Host, Large};
use monolite_service::{BoxFuture, Caller, Failure, PIECE_BYTES};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The body of these bytes of a blob; one of more than a piece has a place among the streams.
pub(crate) fn departing(
    exchange: &Exchange<'_>,
    route: &Arc<Compiled>,
    caller: &Caller,
    large: Large,
    part: Range<u64>,
) -> Result<Body, Problem> {
    if part.is_empty() {
        return Ok(Body::empty());
    }
    let is_long = exchange.parts.method != Method::HEAD && part.end - part.start > PIECE_BYTES;
    let place = is_long.then(|| exchange.inner.places.take(caller.tenant())).transpose()?;
    let (route, host, caller) = (route.clone(), exchange.host.clone(), caller.clone());
    let departure = Departure { route, host, caller, large, left: part, reading: None, _place: place };
    Ok(Body::boxed(axum::body::Body::new(departure)))
}

struct Departure {
    route: Arc<Compiled>,
    host: Host,
    caller: Caller,
    large: Large,
    left: Range<u64>,
    reading: Option<BoxFuture<'static, Result<Bytes, Failure>>>,
    _place: Option<Place>,
}

impl HttpBody for Departure {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.left.is_empty() {
            return Poll::Ready(None);
        }
        let most = (this.left.end - this.left.start).min(PIECE_BYTES);
        let reading = this.reading.get_or_insert_with(|| {
            this.route.route.piece(&this.host, &this.caller, &this.large, this.left.start, most)
        });
        let read = ready!(reading.as_mut().poll(cx));
        this.reading = None;
        Poll::Ready(Some(match read {
            Ok(bytes) => {
                this.left.start += bytes.len() as u64;
                Ok(Frame::data(bytes))
            }
            Err(failure) => {
                tracing::warn!(message = this.route.route.message, ?failure, "a stream of a large blob broke off");
                this.left.start = this.left.end;
                Err(io::Error::other("the stream broke off"))
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.end - self.left.start)
    }
}
