//! An upload on its way in: the sender brings the next bytes when the service asks for them.
//!
//! **Invariants**
//! - A body is polled only while the service waits for bytes: who writes slowly slows the sender.
//! - 64 KiB must come in [`Limits::piece_time`](crate::Limits::piece_time), counted while the service waits for them.
//! - What is left of a body that nobody wants any more is dropped, a bounded part of it read, so that the sender reads
//!   the answer.

use crate::contained::contained;
use crate::exchange::{Exchange, begin, unfinished};
use crate::input::{self, Pair};
use crate::problem::Problem;
use crate::table::Compiled;
use bytes::Bytes;
use http::StatusCode;
use http_body::Body as HttpBody;
use monolite_runtime::Answer;
use monolite_service::{Caller, Failure, FailureKind, Incoming, PIECE_BYTES, Upload};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// No upload takes longer than this, whatever its service says.
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(7 * 86_400);

impl Exchange<'_> {
    /// Calls a route that takes its upload as it arrives.
    pub(crate) async fn receive<B>(
        &self,
        route: &Arc<Compiled>,
        caller: &Caller,
        pairs: Vec<Pair<'_>>,
        body: B,
        if_match: Option<u64>,
    ) -> Result<Answer, Problem>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    {
        let headers = &self.parts.headers;
        let (said, bytes_max) = (body.size_hint().exact(), route.body_max as u64);
        if said.is_some_and(|said| said > bytes_max) {
            input::turn_away(headers, body).await;
            return Err(input::too_large(bytes_max));
        }
        let _place = match self.inner.places.take(caller.tenant()) {
            Ok(place) => place,
            Err(problem) => {
                input::turn_away(headers, body).await;
                return Err(problem);
            }
        };
        let left = Arc::new(Mutex::new(Left { body: Some(body), is_asked: false, problem: None }));
        let piece_time = self.inner.limits.piece_time;
        let arrival = Arrival { left: left.clone(), came: 0, bytes_max, wait: Wait::new(piece_time) };
        let upload = Upload::incoming(said, arrival);
        let depth_max = self.inner.json_depth_max;
        let called = begin(route, self.host, caller, &pairs, Bytes::new(), Some(upload), if_match, depth_max);
        let problem = match called {
            Ok(called) => match contained(self.began + UPLOAD_TIME_MAX, called).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(rejection)) => self.rejected(route, rejection),
                Err(why) => unfinished(why, route.route.kind),
            },
            Err(problem) => problem,
        };
        let (body, own, is_asked) = {
            let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
            (left.body.take(), left.problem.take(), left.is_asked)
        };
        if let Some(body) = body.filter(|body| own.is_none() && !body.is_end_stream()) {
            if is_asked {
                input::drain(body).await; // it comes, whatever the head expected
            } else {
                input::turn_away(headers, body).await;
            }
            return Err(problem.closing());
        }
        Err(own.unwrap_or(problem))
    }
}

/// What the service and the edge share of a body.
struct Left<B> {
    body: Option<B>,
    /// Whether the service has asked for it, and so the edge has: a sender that waited for that sends now.
    is_asked: bool,
    /// Why it broke off, in words for the sender.
    problem: Option<Problem>,
}

struct Arrival<B> {
    left: Arc<Mutex<Left<B>>>,
    came: u64,
    bytes_max: u64,
    wait: Wait,
}

impl<B: HttpBody<Data = Bytes> + Send + Unpin + 'static> Incoming for Arrival<B> {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.is_asked = true;
        let Some(body) = &mut left.body else { return Poll::Ready(None) };
        loop {
            let problem = match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(None) => {
                    left.body = None;
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(bytes) = frame.into_data() else { continue };
                    self.came += bytes.len() as u64;
                    self.wait.came(bytes.len() as u64);
                    if self.came <= self.bytes_max {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                    input::too_large(self.bytes_max)
                }
                Poll::Ready(Some(Err(_))) => broken(),
                Poll::Pending if self.wait.poll(cx).is_pending() => return Poll::Pending,
                Poll::Pending => input::too_slow(),
            };
            left.problem = Some(problem);
            left.body = None;
            return Poll::Ready(Some(Err(Failure::new(FailureKind::Interrupted, "the upload broke off"))));
        }
    }
}

/// How long a sender may still take for its 64 KiB.
struct Wait {
    full: Duration,
    left: Duration,
    bytes: u64,
    since: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Wait {
    fn new(full: Duration) -> Self {
        Wait { full, left: full, bytes: 0, since: None }
    }

    fn came(&mut self, bytes: u64) {
        self.bytes += bytes;
        if let Some((since, _)) = self.since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        if self.bytes >= PIECE_BYTES {
            (self.bytes, self.left) = (0, self.full);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let left = self.left;
        let begin = || {
            let now = Instant::now();
            (now, Box::pin(tokio::time::sleep_until((now + left).into())))
        };
        self.since.get_or_insert_with(begin).1.as_mut().poll(cx)
    }
}

fn broken() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "broken_body", "the body ended before its length").closing()
}
