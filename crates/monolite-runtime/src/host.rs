//! The host: open services, and the one verb to use them.
//!
//! **Invariants**
//! - A clone is a handle to the same services.
//! - A service's store is reachable by name, for operating it; services themselves never see another's.

use crate::abreast::abreast;
use crate::assembly::Assembly;
use crate::background::{Manual, Runner};
use crate::block_on::block_on;
use crate::replace::by_service;
use crate::route::Route;
use crate::start::StartError;
use crate::stats::{Counts, Stats};
use crate::timer::Timer;
use crate::writers::Writer;
use monolite_service::engine::{AlarmId, Calls, Engine, Handler, NoMeter, Replied, Site, Tally};
use monolite_service::{
    Authenticator, Background, Caller, Clock, Credentials, Error, Flow, Gauge, Ids, Message, Millis, Outcome, Refused,
};
use monolite_store::{Status, Store};
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::Waker;
use std::time::{Duration, Instant};

/// Open services. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
    calls: Calls,
}

/// How a service does.
#[derive(Debug, Clone)]
pub struct Health {
    /// The service.
    pub service: &'static str,
    /// Its store's gauges.
    pub status: Status,
}

/// A handler with its type erased: an `Arc<Handler<M>>`.
type AnyHandler = Arc<dyn Any + Send + Sync>;
pub(crate) type HandlersByType = HashMap<TypeId, AnyHandler, BuildHasherDefault<TypeIdHasher>>;

pub(crate) struct Inner {
    pub(crate) names: Vec<&'static str>,
    /// Each service's store: another one, after its file was replaced.
    pub(crate) stores: RwLock<Vec<(&'static str, Store)>>,
    pub(crate) handlers: HandlersByType,
    pub(crate) routes: Vec<Route>,
    pub(crate) stats: Vec<Arc<Stats>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) deadline: Duration,
    pub(crate) authenticator: Option<Arc<dyn Authenticator>>,
    pub(crate) timer: Timer,
    pub(crate) manual: Manual,
    pub(crate) runner: Mutex<Option<Runner>>,
    pub(crate) gauges: Vec<(&'static str, Gauge)>,
    /// Whether `stubs` or `moved` have a handler that goes before `handlers`.
    pub(crate) changed: AtomicBool,
    pub(crate) stubs: RwLock<HandlersByType>,
    pub(crate) moved: RwLock<HandlersByType>,
    /// Held while a service is away.
    pub(crate) replacing: Mutex<()>,
    pub(crate) assembly: Assembly,
}

impl Inner {
    pub(crate) fn stats_by_service(&self) -> Vec<&[Arc<Stats>]> {
        by_service(&self.assembly, &self.stats)
    }

    fn all_stores(&self) -> Vec<(&'static str, Store)> {
        self.stores.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Host {
    pub(crate) fn new(inner: Arc<Inner>) -> Host {
        Host { calls: Calls::new(inner.clone()), inner }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Starts the thread of the background work, where there is any and none runs: for a host that was opened without, whose
    /// files may turn out to be none that should be written to.
    ///
    /// # Errors
    /// [`StartError::Io`] where the thread cannot be started.
    pub fn begin_background(&self) -> Result<(), StartError> {
        let services = self.inner.assembly.described();
        let work: Vec<Background> = services.iter().flat_map(|s| s.background.iter().cloned()).collect();
        let mut runner = self.inner.runner.lock().unwrap_or_else(PoisonError::into_inner);
        if runner.is_none() && !work.is_empty() {
            let started = Runner::start(self.clone(), work);
            *runner = Some(
                started
                    .map_err(|source| StartError::Io { what: "cannot start the background thread".into(), source })?,
            );
        }
        Ok(())
    }

    /// Calls the service that answers this message.
    pub async fn call<M: Message>(&self, caller: &Caller, message: M) -> Outcome<M> {
        Ok(self.calls.call(caller, message, None).await?.value)
    }

    /// The same, with the commit that the reply comes from.
    pub async fn call_seen<M: Message>(
        &self,
        caller: &Caller,
        message: M,
    ) -> Result<Replied<M::Reply>, Error<M::Refusal>> {
        self.calls.call(caller, message, None).await
    }

    /// The same, with an upload.
    pub async fn call_with<M: Message>(&self, caller: &Caller, message: M, upload: bytes::Bytes) -> Outcome<M> {
        Ok(self.calls.call(caller, message, Some(upload.into())).await?.value)
    }

    /// The same, on an ordinary thread.
    pub fn call_blocking<M: Message>(&self, caller: &Caller, message: M) -> Outcome<M> {
        block_on(self.call(caller, message))
    }

    /// A handle to the same services whose calls are counted by the tally beside it: for one request.
    pub fn tallied(&self) -> (Host, Arc<Tally>) {
        let tally = Arc::new(Tally::default());
        (Host { inner: self.inner.clone(), calls: self.calls.tallied(tally.clone()) }, tally)
    }

    /// Who is calling. Without an authenticator everybody is anonymous, and a bearer token is refused.
    pub async fn authenticate(&self, credentials: &Credentials) -> Result<Caller, Error> {
        match &self.inner.authenticator {
            Some(a) => a.authenticate(&self.flow(&self.system()), credentials).await,
            None if credentials.bearer.is_none() => Ok(Caller::anonymous(credentials.address)),
            None => Err(Refused::unauthenticated().into()),
        }
    }

    /// The system as a caller.
    pub fn system(&self) -> Caller {
        Caller::system()
    }

    /// A flow on behalf of a caller.
    pub fn flow(&self, caller: &Caller) -> Flow {
        Flow::new(self.calls.clone(), caller.clone())
    }

    /// All routes, in the order of registration.
    pub fn routes(&self) -> &[Route] {
        &self.inner.routes
    }

    /// The names of the services, in the order of registration.
    pub fn services(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.inner.names.iter().copied()
    }

    /// A service's store as it is now. Ask again rather than keep it: a service gets another store where its file is
    /// replaced.
    pub fn store(&self, service: &str) -> Option<Store> {
        let stores = self.inner.stores.read().unwrap_or_else(PoisonError::into_inner);
        stores.iter().find(|(name, _)| *name == service).map(|(_, store)| store.clone())
    }

    /// A short name of the history of a service's file, where that is not the one that the file was made with: what was told of
    /// a row by its version alone may be true of another content. A service without its file has a name that no history has.
    #[inline]
    pub fn fork_of(&self, service: &str) -> Option<u32> {
        let stores = self.inner.stores.read().unwrap_or_else(PoisonError::into_inner);
        let (_, store) = stores.iter().find(|(name, _)| *name == service)?;
        if !store.is_open() {
            return Some(0);
        }
        let [a, b, c, d, ..] = store.fork_id()?;
        Some(u32::from_be_bytes([a, b, c, d]))
    }

    /// How each service does.
    pub fn health(&self) -> Vec<Health> {
        let stores = self.inner.all_stores();
        stores.iter().map(|(service, store)| Health { service, status: store.status() }).collect()
    }

    /// Who holds each writer, who waits for it, and who held it longest.
    pub fn writers(&self) -> Vec<Writer> {
        self.inner.all_stores().iter().map(|(service, store)| Writer::of(service, store)).collect()
    }

    /// The counts of each message's calls.
    pub fn counts(&self) -> Vec<Counts> {
        self.inner.stats.iter().map(|s| s.counts()).collect()
    }

    /// The numbers that services show, with their services.
    pub fn gauges(&self) -> &[(&'static str, Gauge)] {
        &self.inner.gauges
    }

    /// The time.
    pub fn now(&self) -> Millis {
        self.inner.clock.now()
    }

    /// Runs the background work that is due by the injected clock, each piece once: for tests, where no thread does it.
    pub fn run_due_background(&self) {
        self.inner.manual.run_due(self);
    }

    /// Answers a message in place of its service: for tests.
    pub fn answer_for<M: Message>(&self, answer: impl Fn(&Caller, M) -> Outcome<M> + Send + Sync + 'static) {
        let site = Site {
            service: "stub",
            label: M::NAME,
            store: None,
            clock: self.inner.clock.clone(),
            ids: self.inner.ids.clone(),
            meter: Arc::new(NoMeter),
            deadline: None,
            slow: false,
            watch: None,
        };
        let mut stubs = self.inner.stubs.write().unwrap_or_else(PoisonError::into_inner);
        stubs.insert(TypeId::of::<M>(), Handler::stub(site, answer));
        self.inner.changed.store(true, Ordering::Release);
    }

    /// Ends the background work, lets queued writes finish, and closes all files. Later calls fail as closed.
    pub fn shutdown(&self) -> Result<(), monolite_store::Error> {
        self.stop_background();
        abreast(&self.inner.all_stores(), |(_, store)| store.clone().close()).into_iter().fold(Ok(()), Result::and)
    }

    /// Stops as a crash would: nothing more is written, queued writes are lost. A test aid.
    pub fn abandon(&self) {
        self.stop_background();
        for (_, store) in self.inner.all_stores() {
            store.abandon();
        }
    }

    fn stop_background(&self) {
        let runner = self.inner.runner.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runner) = runner {
            runner.stop();
        }
    }
}

impl Engine for Inner {
    fn handler(&self, message: TypeId) -> Option<AnyHandler> {
        if self.changed.load(Ordering::Acquire) {
            for before in [&self.stubs, &self.moved] {
                if let Some(handler) = before.read().unwrap_or_else(PoisonError::into_inner).get(&message) {
                    return Some(handler.clone());
                }
            }
        }
        self.handlers.get(&message).cloned()
    }
    fn deadline(&self) -> Duration {
        self.deadline
    }
    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
    fn ids(&self) -> &dyn Ids {
        &*self.ids
    }
    fn set_alarm(&self, at: Instant, waker: Waker) -> AlarmId {
        self.timer.set(at, waker)
    }
    fn drop_alarm(&self, alarm: AlarmId) {
        self.timer.forget(alarm);
    }
}

/// A `TypeId` is a hash already: its last eight bytes are taken as they are.
#[derive(Default)]
pub(crate) struct TypeIdHasher(u64);

impl Hasher for TypeIdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.rchunks(8).take(1) {
            self.0 = chunk.iter().fold(self.0, |hash, byte| (hash << 8) | u64::from(*byte));
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}
