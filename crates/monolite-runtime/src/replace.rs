//! A service's file is replaced while the others serve.
//!
//! ```text
//! take_away   the service answers "try again"; its store has answered what was queued, and is closed
//!   (the caller puts another file under the name, or does not)
//! bring_back  the file that lies under the name is opened as at the start, and serves
//! ```
//!
//! **Invariants**
//! - What was acknowledged before is in the file that was closed; what comes between is refused and nothing of it is done.
//! - One service is away at a time. One that is not brought back stays away, and says so, until the program ends.

use crate::assembly::Assembly;
use crate::host::{HandlersByType, Host};
use crate::start::StartError;
use crate::stats::Stats;
use monolite_store::{self as store, Store};
use std::sync::{Arc, MutexGuard, PoisonError};

/// A service that does not serve for a moment, since its file is being replaced.
pub struct Away<'h> {
    host: &'h Host,
    service: &'static str,
    /// The last commit of the store that was closed.
    last: u64,
    closed: store::Result<()>,
    _alone: MutexGuard<'h, ()>,
}

impl Host {
    /// Takes a service away: from now on its calls are refused as to be tried again. Waits until its store has answered what
    /// was queued and is closed. A service in quarantine can be taken away too. Not for async workers.
    ///
    /// # Errors
    /// [`StartError::Unknown`] where there is no such service.
    pub fn take_away(&self, service: &str) -> Result<Away<'_>, StartError> {
        let alone = self.inner().replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || StartError::Unknown { service: service.to_owned() };
        let service = self.services().find(|name| *name == service).ok_or_else(unknown)?;
        let before = self.store(service).ok_or_else(unknown)?;
        let absent = Store::absent(before.path(), before.config().clone());
        self.seat(service, absent);
        let closed = before.clone().set_aside();
        Ok(Away { host: self, service, last: before.sequence(), closed, _alone: alone })
    }

    /// From now on calls to a service go to this store.
    fn seat(&self, service: &'static str, store: Store) {
        let inner = self.inner();
        let mut moved = HandlersByType::default();
        let all = inner.assembly.described().iter().zip(inner.stats_by_service());
        for (spec, counts) in all.filter(|(known, _)| known.name == service) {
            inner.assembly.bind(spec, &store, counts, &mut moved);
        }
        // Handlers first: who sees the new store finds its handlers.
        inner.moved.write().unwrap_or_else(PoisonError::into_inner).extend(moved);
        inner.changed.store(true, std::sync::atomic::Ordering::Release);
        let mut stores = inner.stores.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, seat)) = stores.iter_mut().find(|(name, _)| *name == service) {
            *seat = store;
        }
    }
}

impl Away<'_> {
    /// The last commit of the store that was closed.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Whether its WAL was copied into the file; if not, the `-wal` must stay beside it.
    pub fn closed(&self) -> &store::Result<()> {
        &self.closed
    }

    /// Opens the file that lies under the service's name now, as at the start of the program. Where that fails the service
    /// stays away: put another file there, and try again.
    ///
    /// # Errors
    /// Those of opening a service's file at the start.
    pub fn bring_back(&self) -> Result<Store, StartError> {
        let assembly = &self.host.inner().assembly;
        let opened = assembly.reopen(self.service)?;
        self.host.seat(self.service, opened.clone());
        Ok(opened)
    }
}

/// The counts of each service's messages, in the order of registration.
pub(crate) fn by_service<'s>(assembly: &Assembly, stats: &'s [Arc<Stats>]) -> Vec<&'s [Arc<Stats>]> {
    let mut rest = stats;
    let mut all = Vec::new();
    for service in assembly.described() {
        let (own, others) = rest.split_at(service.handlers.len());
        all.push(own);
        rest = others;
    }
    all
}
