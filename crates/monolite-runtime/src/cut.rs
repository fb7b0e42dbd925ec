//! Cuts: several services' files as they were at one moment, for reports, copies and checks.
//!
//! **Invariants**
//! - What was acknowledged before a cut was asked for is in it; where one file shows an effect, the others show its causes.
//! - A cut reads; it changes nothing, and no writer waits for it but for a moment after many tries.
//! - It has an end: the age limit of its stores, and the hard limit of each WAL.

use crate::host::Host;
use monolite_service::engine::{Engine, Handler, NoMeter, Site};
use monolite_service::{Caller, Error, Failure, FailureKind, Message, Outcome, Snapshot};
use monolite_store as store;
use std::any::TypeId;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub use monolite_store::Taking;

/// Snapshots of several services' files, all of one moment, until it is dropped.
pub struct Cut {
    host: Host,
    services: Vec<&'static str>,
    /// Services without an open file, which are left out where none was named.
    missing: Vec<&'static str>,
    files: store::Cut,
}

impl Host {
    /// A cut over these services, or over all where none is named: a few microseconds for each, on the calling thread. Of
    /// all those that have no open file are left out, see [`Cut::missing`]; one that is named has to have one. It ends after the age limit of snapshots (`Config::slow_time_max`); each store has at most `Config::cuts_max` open.
    ///
    /// # Errors
    /// [`FailureKind::Unavailable`] where there is no such service, [`FailureKind::Overloaded`] where too many are open, and
    /// what keeps a store from reading.
    pub fn cut(&self, services: &[&str]) -> Result<Cut, Failure> {
        self.take(services, store::Cut::take)
    }

    /// The same without an age limit, for long tasks such as a copy of all files: only the hard limit of the WAL ends it.
    pub fn long_cut(&self, services: &[&str]) -> Result<Cut, Failure> {
        self.take(services, store::Cut::take_long)
    }

    /// A cut over these services, or over all, on one connection: tables are named `Users.users`. For operators: it sees
    /// every table, and takes about a millisecond to open.
    ///
    /// # Errors
    /// Those of [`Host::cut`].
    pub fn join(&self, services: &[&str]) -> Result<Join, Failure> {
        let (services, stores) = self.named(services)?;
        Ok(Join { services, files: store::Join::open(&stores)? })
    }

    fn take(&self, services: &[&str], take: fn(&[store::Store]) -> store::Result<store::Cut>) -> Result<Cut, Failure> {
        let all = services.is_empty();
        let (known, stores) = self.named(services)?;
        // A store that is asked by its name says itself why it has no file; and if none has one, the first does.
        let is_there = |store: &store::Store| !all || store.is_open();
        if !stores.iter().any(is_there) {
            return Ok(Cut { host: self.clone(), services: known, missing: Vec::new(), files: take(&stores)? });
        }
        let missing = known.iter().zip(&stores).filter(|(_, store)| !is_there(store)).map(|(name, _)| *name).collect();
        let there = known.into_iter().zip(stores).filter(|(_, store)| is_there(store));
        let (services, stores): (Vec<_>, Vec<_>) = there.unzip();
        Ok(Cut { host: self.clone(), services, missing, files: take(&stores)? })
    }

    /// These services, or all, in the order of their registration.
    fn named(&self, services: &[&str]) -> Result<(Vec<&'static str>, Vec<store::Store>), Failure> {
        let wanted = |name: &&'static str| services.is_empty() || services.contains(name);
        let known: Vec<&'static str> = self.services().filter(wanted).collect();
        if let Some(unknown) = services.iter().find(|name| !known.contains(name)) {
            return Err(no_service(unknown));
        }
        let stores = known.iter().filter_map(|name| self.store(name)).collect();
        Ok((known, stores))
    }
}

impl Cut {
    /// Each service with the last commit that its snapshot contains.
    pub fn sequences(&self) -> impl ExactSizeIterator<Item = (&'static str, u64)> + '_ {
        self.services.iter().copied().zip(self.files.sequences())
    }

    /// Services that are not in it, since their files are in quarantine or being replaced. Who needs all has to look.
    pub fn missing(&self) -> &[&'static str] {
        &self.missing
    }

    /// How it came to be.
    pub fn taking(&self) -> Taking {
        self.files.taking()
    }

    /// Reads one service's file as the cut shows it, on the calling thread to the end. Not for async workers, unless it is
    /// short.
    pub fn read<T, E>(&self, service: &str, f: impl FnOnce(&Snapshot<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<Failure> + From<store::Error>,
    {
        let (place, caller, site) = (self.place(service)?, self.host.system(), self.site(service)?);
        self.files.read(place, |db| f(&site.snapshot(db, &caller)))
    }

    /// Calls a service with a message that reads, which is answered from the cut; on the calling thread to the end.
    pub fn call<M: Message>(&self, caller: &Caller, message: &M) -> Outcome<M> {
        let handler = self.host.inner().handler(TypeId::of::<M>());
        let handler: Option<Arc<Handler<M>>> = handler.and_then(|any| any.downcast().ok());
        let handler = handler.ok_or_else(|| unavailable(format!("no service here answers {}", M::NAME)))?;
        let place = self.place(handler.site().service)?;
        let answered = self.files.read(place, |db| handler.answer_from(db, caller, message).transpose())?;
        let writes = || Error::Failed(unavailable(format!("{} does not only read; a cut changes nothing", M::NAME)));
        answered.ok_or_else(writes)
    }

    /// Copies one service's file as the cut shows it, as [`store::Store::copy_to`] does, and then gives its snapshot back.
    pub fn copy_to(
        &self,
        service: &str,
        path: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<store::Copied, Failure> {
        Ok(self.files.copy_to(self.place(service)?, path, progress)?)
    }

    fn place(&self, service: &str) -> Result<usize, Failure> {
        self.services.iter().position(|name| *name == service).ok_or_else(|| not_in_the_cut(service))
    }

    /// A place in the service for closures that no handler holds.
    fn site(&self, service: &str) -> Result<Site, Failure> {
        let name = self.services.iter().find(|name| **name == service).ok_or_else(|| not_in_the_cut(service))?;
        let (clock, ids) = (self.host.inner().clock.clone(), self.host.inner().ids.clone());
        let meter = Arc::new(NoMeter);
        Ok(Site {
            service: name,
            label: "cut",
            store: None,
            clock,
            ids,
            meter,
            deadline: None,
            slow: false,
            watch: None,
        })
    }
}

/// Several services' files at one moment on one connection, until it is dropped.
pub struct Join {
    services: Vec<&'static str>,
    files: store::Join,
}

impl Join {
    /// Each service with the last commit that its snapshot contains.
    pub fn sequences(&self) -> impl ExactSizeIterator<Item = (&'static str, u64)> + '_ {
        self.services.iter().copied().zip(self.files.sequences())
    }

    /// Reads on the calling thread, until the deadline or the end of the cut. Not for async workers.
    pub fn read<T, E>(&self, deadline: Instant, f: impl FnOnce(&store::Joined<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<store::Error>,
    {
        self.files.read(deadline, f)
    }
}

fn no_service(name: &str) -> Failure {
    unavailable(format!("there is no service {name}"))
}

fn not_in_the_cut(name: &str) -> Failure {
    unavailable(format!("the service {name} is not in this cut; name it when the cut is taken"))
}

fn unavailable(text: String) -> Failure {
    Failure::new(FailureKind::Unavailable, text)
}
