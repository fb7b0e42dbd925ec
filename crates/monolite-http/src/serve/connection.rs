//! One connection: hyper's HTTP/1 machine under the limits, the tick and the stop.
//!
//! **Invariants**
//! - A request's progress costs no timer: one timer per connection ticks a few times per waiting limit.
//! - A connection that is closed while half a request head has come is answered 408 first.
//! - A request that says its length in two ways is answered 400, whoever would have answered it, and a connection ends
//!   with its first request that has a `Transfer-Encoding` (see `heads.rs`).
//!
//! Never here: routes. The limits of headers that deserve a problem body are checked by the edge; hyper's own,
//! set wider here, answer bare.

use super::heads::Heads;
use super::pulse::{Felt, Over, Pulse, Tick};
use super::stop::{Phase, Stop};
use super::{Respond, UNTAKEN};
use crate::body::Body;
use crate::config::Limits;
use crate::headers;
use crate::problem::Problem;
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// How long a closing connection may take to take its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Bytes read and dropped from a peer that is turned away, so that the close is no reset.
const DISCARDED_MAX: usize = 64 * 1024;
/// The parser's own bound of a request head, above ours so that most offenders get a problem.
const HEAD_BYTES_MIN: usize = 64 * 1024;
/// Headers that hyper parses without an allocation; more are answered by it.
const HEADERS_FREE: usize = 100;

/// Serves one connection to its end.
pub(super) async fn run<I, R>(io: I, peer: IpAddr, respond: R, limits: Arc<Limits>, stop: Stop)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    R: Respond,
{
    let pulse = Arc::new(Pulse::default());
    let felt = Felt { io, pulse: pulse.clone(), heads: Heads::default() };
    let heard = pulse.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let busy = heard.busy();
        let is_last = request.headers().contains_key(TRANSFER_ENCODING);
        let answer = (!heard.is_next_ambiguous()).then(|| respond.clone().respond(peer, request));
        async move {
            let mut answer: Response<Body> = match answer {
                Some(answer) => answer.await,
                None => ambiguous().answer("", ""),
            };
            if is_last {
                answer.headers_mut().insert(CONNECTION, headers::CLOSE);
            }
            answer.body_mut().hold(busy);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).max_buf_size((limits.header_bytes_max * 4).max(HEAD_BYTES_MIN));
    if limits.headers_max > HEADERS_FREE {
        http.max_headers(limits.headers_max);
    }
    let mut served = http.serve_connection(TokioIo::new(felt), service).with_upgrades();
    match watch(&mut served, &pulse, Tick::new(&limits), &stop).await {
        End::Finished | End::Dropped => {}
        // Words behind half an answer would be taken for the rest of it.
        End::Over(Over::Untaken) => drop(UNTAKEN.fetch_add(1, Relaxed)),
        End::Over(Over::Idle) => {
            if let Some(parts) = served.into_parts()
                && !parts.read_buf.is_empty()
            {
                let mut io = parts.io.into_inner().io;
                let _ = tokio::time::timeout(LAST_WORDS, last_words(&mut io, too_slow())).await;
            }
        }
    }
}

/// Tells a connection that there is no room for it.
pub(super) async fn turn_away<I: AsyncRead + AsyncWrite + Unpin>(mut io: I) {
    let _ = tokio::time::timeout(LAST_WORDS, last_words(&mut io, no_room())).await;
}

async fn last_words<I: AsyncRead + AsyncWrite + Unpin>(io: &mut I, problem: Problem) -> std::io::Result<()> {
    io.write_all(&problem.raw()).await?;
    io.shutdown().await?;
    let (mut dropped, mut scratch) = (0, [0_u8; 1024]);
    while dropped < DISCARDED_MAX {
        match io.read(&mut scratch).await? {
            0 => break,
            n => dropped += n,
        }
    }
    Ok(())
}

fn too_slow() -> Problem {
    let detail = "the request did not come in time";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request_too_slow", detail).retryable(None)
}

fn ambiguous() -> Problem {
    let detail = "the request says its length by Content-Length and by Transfer-Encoding, or not in digits";
    Problem::new(StatusCode::BAD_REQUEST, "ambiguous_length", detail).closing()
}

fn no_room() -> Problem {
    let detail = "too many connections are open";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_connections", detail).retryable(None)
}

enum End {
    Finished,
    Dropped,
    Over(Over),
}

/// Polls the connection; the stop and the tick are polled once to be woken by them, then only looked at.
async fn watch<I, S>(
    served: &mut http1::UpgradeableConnection<TokioIo<Felt<I>>, S>,
    pulse: &Pulse,
    mut tick: Tick,
    stop: &Stop,
) -> End
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let step = tick.step();
    let mut sleep = pin!(tokio::time::sleep_until(Instant::now() + step));
    let mut draining = pin!(stop.reached(Phase::Draining));
    let mut now = pin!(stop.reached(Phase::Now));
    let (mut armed, mut drained) = (false, false);
    poll_fn(|cx| {
        if !armed {
            armed = true;
            let _ = (draining.as_mut().poll(cx), now.as_mut().poll(cx), sleep.as_mut().poll(cx));
        }
        if let Poll::Ready(ended) = Pin::new(&mut *served).poll(cx) {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended badly");
            }
            return Poll::Ready(End::Finished);
        }
        let phase = stop.phase();
        if phase == Phase::Now {
            return Poll::Ready(End::Dropped);
        }
        if phase == Phase::Draining && !drained {
            drained = true;
            Pin::new(&mut *served).graceful_shutdown();
            cx.waker().wake_by_ref();
        }
        // The wait for the last phase was woken by the one before it and must listen again.
        if drained && now.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Dropped);
        }
        while sleep.is_elapsed() {
            if let Some(over) = tick.look(pulse) {
                return Poll::Ready(End::Over(over));
            }
            sleep.as_mut().reset(Instant::now() + step);
            let _ = sleep.as_mut().poll(cx);
        }
        Poll::Pending
    })
    .await
}
