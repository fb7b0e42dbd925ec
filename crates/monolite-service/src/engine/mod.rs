//! The seam between a service and what runs it.
//!
//! A service's handlers are generic; the engine (`monolite-runtime`) is not. Here a handler is bound to its
//! place ([`Site`]) and called ([`Calls`]) with its type known, over the small object-safe trait [`Engine`].
//!
//! **Invariants**
//! - A handler is found by its message's `TypeId`: no string is looked at on a call's way.
//! - An in-process read costs two reference counts and two looks at the monotonic clock beyond the store's read.
//!
//! Never here: threads, files, routes.

mod call;
mod registration;
mod site;
mod tally;
mod within;

pub use call::{Calls, Commit, Replied};
pub(crate) use registration::Typed;
pub use registration::{Registration, Schemas, Serving};
pub use site::{Ended, Handler, Meter, NoMeter, Site, Watch};
pub use tally::Tally;
pub use within::AlarmId;

use crate::clock::Clock;
use crate::ids::Ids;
use std::any::{Any, TypeId};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

/// What runs services, as far as a call needs it.
pub trait Engine: Send + Sync + 'static {
    /// The bound handler of a message type, an `Arc<Handler<M>>`.
    fn handler(&self, message: TypeId) -> Option<Arc<dyn Any + Send + Sync>>;
    /// How long a call may take whose caller and handler say nothing.
    fn deadline(&self) -> Duration;
    /// Time.
    fn clock(&self) -> &dyn Clock;
    /// Ids.
    fn ids(&self) -> &dyn Ids;
    /// Wakes a task at a moment.
    fn set_alarm(&self, at: Instant, waker: Waker) -> AlarmId;
    /// Forgets an alarm.
    fn drop_alarm(&self, alarm: AlarmId);
}
