//! A large blob on its way out: each piece is read when the connection has room for it.
//!
//! **Invariants**
//! - Between two pieces nothing is held: no snapshot, no connection of a store, no bytes.
//! - A piece for which the slow lane was too busy is asked for again, a bounded number of times: what others read slowly
//!   does not break a download off.
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
use monolite_service::{BoxFuture, Caller, Failure, FailureKind, PIECE_BYTES};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How often a piece is asked for where the lane is too busy, and how long each pause is.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

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
    let departure = Departure { route, host, caller, large, left: part, reading: None, tries: 0, _place: place };
    Ok(Body::boxed(axum::body::Body::new(departure)))
}

struct Departure {
    route: Arc<Compiled>,
    host: Host,
    caller: Caller,
    large: Large,
    left: Range<u64>,
    reading: Option<BoxFuture<'static, Result<Bytes, Failure>>>,
    /// How often the piece at hand was put off.
    tries: u32,
    _place: Option<Place>,
}

impl Departure {
    /// Asks for the next piece, after a pause where the lane was too busy.
    fn ask(&self, most: u64) -> BoxFuture<'static, Result<Bytes, Failure>> {
        let (route, from) = (self.route.clone(), self.left.start);
        if self.tries == 0 {
            return route.route.piece(&self.host, &self.caller, &self.large, from, most);
        }
        let (host, caller, large) = (self.host.clone(), self.caller.clone(), self.large.clone());
        Box::pin(async move {
            let _ = tokio::time::timeout(PAUSE, std::future::pending::<()>()).await; // nothing tells when the lane has room
            route.route.piece(&host, &caller, &large, from, most).await
        })
    }
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
        let read = loop {
            let mut reading = this.reading.take().unwrap_or_else(|| this.ask(most));
            let Poll::Ready(read) = reading.as_mut().poll(cx) else {
                this.reading = Some(reading);
                return Poll::Pending;
            };
            match &read {
                Err(busy) if is_busy(busy) && this.tries < TRIES => this.tries += 1,
                _ => break read,
            }
        };
        Poll::Ready(Some(match read {
            Ok(bytes) => {
                this.tries = 0;
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

fn is_busy(failure: &Failure) -> bool {
    matches!(failure.kind(), FailureKind::Late | FailureKind::Overloaded)
}
