//! A site: the place in an engine where a handler is bound.

use super::call;
use crate::caller::Caller;
use crate::clock::Clock;
use crate::handler::Work;
use crate::ids::Ids;
use crate::message::Message;
use crate::outcome::Outcome;
use crate::snapshot::Snapshot;
use monolite_store::{self as store, Store};
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a call ended, for its meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// With a reply.
    Replied,
    /// With a refusal.
    Refused,
    /// With a failure.
    Failed,
}

/// Receives how long each call of a message took.
pub trait Meter: Send + Sync + 'static {
    /// A call ended.
    fn ended(&self, took: Duration, how: Ended);
}

/// Counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMeter;

impl Meter for NoMeter {
    fn ended(&self, _: Duration, _: Ended) {}
}

/// Where a handler is bound: its service's store, and what the engine gives it.
#[derive(Clone)]
pub struct Site {
    /// The service's name.
    pub service: &'static str,
    /// The message's full name: `Recipes.AddRecipe`.
    pub label: &'static str,
    /// The service's store; none for a stub.
    pub store: Option<Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Arc<dyn Ids>,
    /// Receives how long calls took.
    pub meter: Arc<dyn Meter>,
    /// How long the handler may take, where it says.
    pub deadline: Option<Duration>,
    /// Whether its reads start in the slow lane.
    pub slow: bool,
    /// Sees each constant statement that runs: for tests.
    pub watch: Option<Watch>,
}

impl Site {
    /// A store's snapshot in the words of this site's service.
    pub fn snapshot<'a>(&'a self, db: &'a store::Snapshot<'a>, caller: &'a Caller) -> Snapshot<'a> {
        Snapshot::new(db, caller, self)
    }
}

/// Sees the constant statements that run, by service.
pub type Watch = Arc<dyn Fn(&'static str, &str) + Send + Sync>;

/// A handler at its site.
pub struct Handler<M: Message> {
    pub(crate) work: Arc<Work<M>>,
    pub(crate) site: Site,
}

impl<M: Message> Handler<M> {
    /// Where it is bound.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Answers from a snapshot that the engine holds, as a call does: the message is checked, the call counted. None where
    /// the message does not only read.
    pub fn answer_from(&self, db: &store::Snapshot<'_>, caller: &Caller, message: &M) -> Option<Outcome<M>> {
        let Work::Read(run) = &*self.work else { return None };
        let began = Instant::now();
        let answered = match call::checked(message) {
            Ok(()) => run(&self.site.snapshot(db, caller), message),
            Err(wrong) => Err(wrong.into()),
        };
        self.site.meter.ended(began.elapsed(), call::ended(&answered));
        Some(answered)
    }

    /// A handler that answers in place of a service: for tests.
    pub fn stub(
        site: Site,
        answer: impl Fn(&Caller, M) -> Outcome<M> + Send + Sync + 'static,
    ) -> Arc<dyn Any + Send + Sync> {
        Arc::new(Handler { work: Arc::new(Work::Stub(Box::new(answer))), site })
    }
}
