//! The accept loop: takes connections from a listener, bounds them, and drains them.
//!
//! **Invariants**
//! - At most `connections_max` connections are served; one more is answered 503, and of those only a few at a time.
//! - After the drain began no connection is accepted and idle ones are closed; requests in flight are finished.
//! - When the drain time is over, or the stop says now, everything is dropped: the loop always ends.
//! - A panic in a connection ends that connection only.
//!
//! Never here: routes, bodies, who the caller is.

mod connection;
mod heads;
mod listen;
mod pulse;
mod stop;
#[cfg(test)]
mod tests;

pub use listen::{Listen, listener};
pub use stop::{Phase, Stop};

pub(crate) use pulse::Busy;

use crate::body::Body;
use crate::config::Limits;
use http::{Request, Response};
use hyper::body::Incoming;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Connections that may be told at the same time that there is no room.
const TURNED_AWAY_MAX: usize = 64;
/// The pause after the system refused to hand out a connection (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections open now, of all servers of this process.
pub(crate) static OPEN: AtomicU64 = AtomicU64::new(0);
/// Connections for which there was no room, of all servers of this process.
pub(crate) static TURNED_AWAY: AtomicU64 = AtomicU64::new(0);
/// Connections that were dropped since their peer did not take an answer in time, of all servers of this process.
pub(crate) static UNTAKEN: AtomicU64 = AtomicU64::new(0);

/// What answers requests; [`crate::Edge`] and `axum::Router` do.
pub trait Respond: Clone + Send + Sync + 'static {
    /// Answers one request of the peer.
    fn respond(self, peer: IpAddr, request: Request<Incoming>)
    -> impl Future<Output = Response<Body>> + Send + 'static;
}

impl Respond for axum::Router {
    async fn respond(mut self, peer: IpAddr, mut request: Request<Incoming>) -> Response<Body> {
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
        match tower::Service::call(&mut self, request).await {
            Ok(response) => response.map(Body::boxed),
            Err(never) => match never {},
        }
    }
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every connection finished by itself.
    Complete,
    /// This many connections were dropped, because the drain time was over or the stop said now.
    CutShort(usize),
}

/// Serves connections until the stop says otherwise, then drains.
pub async fn serve<L: Listen, R: Respond>(listener: L, respond: R, limits: Limits, stop: Stop) -> Drained {
    let most = limits.connections_max.clamp(1, u32::MAX as usize / 2);
    let room = Arc::new(Semaphore::new(most));
    let doorstep = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    let inner = Stop::new();
    let limits = Arc::new(limits);
    let mut draining = pin!(stop.reached(Phase::Draining));
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut draining => break,
            accepted = listener.accept() => accepted,
        };
        let (io, peer) = match accepted {
            Ok(connection) => connection,
            Err(error) if is_of_the_peer(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                // A pause that still hears the stop.
                if tokio::time::timeout(ACCEPT_PAUSE, &mut draining).await.is_ok() {
                    break;
                }
                continue;
            }
        };
        if let Ok(place) = room.clone().try_acquire_owned() {
            let served = connection::run(io, peer, respond.clone(), limits.clone(), inner.clone());
            let open = Open::new();
            tokio::spawn(async move {
                served.await;
                drop((place, open));
            });
            continue;
        }
        TURNED_AWAY.fetch_add(1, Relaxed);
        if let Ok(place) = doorstep.clone().try_acquire_owned() {
            tokio::spawn(async move {
                connection::turn_away(io).await;
                drop(place);
            });
        }
    }
    drop(listener);
    inner.drain();
    drain(&room, most, limits.drain_time, &stop, &inner).await
}

/// Counts a connection while it is open, also one that panics.
struct Open;

impl Open {
    fn new() -> Self {
        OPEN.fetch_add(1, Relaxed);
        Open
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}

async fn drain(room: &Semaphore, most: usize, time: Duration, stop: &Stop, inner: &Stop) -> Drained {
    let all = u32::try_from(most).unwrap_or(u32::MAX);
    let finished = tokio::select! {
        biased;
        empty = tokio::time::timeout(time, room.acquire_many(all)) => empty.is_ok(),
        () = stop.reached(Phase::Now) => false,
    };
    if finished {
        return Drained::Complete;
    }
    let left = most.saturating_sub(room.available_permits());
    inner.now();
    // Dropping a connection takes a poll of its task; the second bound is for a handler that never yields.
    let _ = tokio::time::timeout(Duration::from_secs(1), room.acquire_many(all)).await;
    if left == 0 { Drained::Complete } else { Drained::CutShort(left) }
}

/// Whether an accept failed because of what the peer did; the next one may work at once.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NotConnected
    )
}
