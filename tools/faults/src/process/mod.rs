//! A process that writes until it is killed, and the other side, which outlives it and knows what it was told.
//!
//! The worker says what it is about to send, and what was answered, through a pipe: what it said before a kill is in the
//! kernel's hands. So the oracle is in another process than the store.

mod host;
mod kill;
mod worker;

pub use host::{Said, Worker};
pub(crate) use kill::sent;
pub use kill::{Kills, Survived, run};
pub use worker::{Work, work};

/// A moment, in nanoseconds of a clock that all processes share: one that is smaller in one process came first in another too.
pub fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
