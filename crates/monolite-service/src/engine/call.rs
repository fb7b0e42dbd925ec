//! Calls: from a message to its outcome.
//!
//! **Invariants**
//! - A message is checked before anything is queued.
//! - Every call ends by its deadline, or within [`GRACE`] of it: a store answers for itself before that, and a
//!   write of which it says nothing has an unknown outcome.

use super::within::{Unfinished, within};
use super::{Ended, Engine, Handler, Tally};
use crate::caller::Caller;
use crate::failure::{Failure, FailureKind};
use crate::flow::Flow;
use crate::handler::Work;
use crate::message::{Check, Message};
use crate::outcome::{Error, Outcome};
use crate::snapshot::Snapshot;
use crate::tx::Tx;
use crate::upload::Upload;
use bytes::Bytes;
use monolite_store::{Store, Ticket};
use std::any::TypeId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long past the deadline a store may take to say what became of a call.
const GRACE: Duration = Duration::from_millis(500);

/// Calls over an engine. Cheap to clone.
#[derive(Clone)]
pub struct Calls {
    engine: Arc<dyn Engine>,
    tally: Option<Arc<Tally>>,
}

/// A commit: a service, and its file's sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The service.
    pub service: &'static str,
    /// The number of the commit in its file.
    pub sequence: u64,
}

/// A reply, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replied<T> {
    /// The reply.
    pub value: T,
    /// Of a write, the commit that holds it; of a read, the last commit it saw; of a flow, nothing.
    pub commit: Option<Commit>,
}

type Answered<M> = Result<Replied<<M as Message>::Reply>, Error<<M as Message>::Refusal>>;

impl Calls {
    /// Calls over an engine.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Calls { engine, tally: None }
    }

    /// The same, counted by a tally.
    pub fn tallied(&self, tally: Arc<Tally>) -> Self {
        Calls { engine: self.engine.clone(), tally: Some(tally) }
    }

    /// The same, counted by no tally.
    pub fn untallied(&self) -> Self {
        Calls { engine: self.engine.clone(), tally: None }
    }

    /// The engine.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// The tally that counts these calls.
    pub fn tally(&self) -> Option<&Tally> {
        self.tally.as_deref()
    }

    /// Calls a service with a message, and for a handler that takes one, an upload.
    pub async fn call<M: Message>(&self, caller: &Caller, message: M, upload: Option<Upload>) -> Answered<M> {
        let began = Instant::now();
        let handler = self.find::<M>()?;
        let answered = match checked(&message) {
            Ok(()) => self.dispatch(began, &handler, caller, message, upload).await,
            Err(wrong) => Err(Error::Failed(wrong)),
        };
        let took = began.elapsed();
        if let (Some(tally), true) = (&self.tally, handler.site.store.is_some() && !handler.is_flow()) {
            tally.add_time(took);
        }
        handler.site.meter.ended(took, ended(&answered));
        answered
    }

    fn find<M: Message>(&self) -> Result<Arc<Handler<M>>, Failure> {
        self.engine
            .handler(TypeId::of::<M>())
            .and_then(|any| any.downcast::<Handler<M>>().ok())
            .ok_or_else(|| Failure::new(FailureKind::Unavailable, format!("no service here answers {}", M::NAME)))
    }

    async fn dispatch<M: Message>(
        &self,
        began: Instant,
        handler: &Arc<Handler<M>>,
        caller: &Caller,
        message: M,
        upload: Option<Upload>,
    ) -> Answered<M> {
        let own = handler.site.deadline.unwrap_or_else(|| self.engine.deadline());
        let until = caller.deadline().map_or(began + own, |d| d.min(began + own));
        match &*handler.work {
            Work::Read(_) => self.read(handler, caller, message, until).await,
            Work::Write(_) | Work::Upload(_) => {
                let bytes = upload.map(Upload::whole).transpose()?;
                self.write(handler, caller, message, bytes, until).await
            }
            Work::Flow(run) => {
                let flow = Flow::new(self.clone(), caller.clone().with_deadline(until));
                plain::<M>(within(&*self.engine, until, async { run(flow, message).await }).await, FailureKind::Late)
            }
            Work::Receive(run) => {
                let flow = Flow::new(self.clone(), caller.clone().with_deadline(until));
                let upload = upload.unwrap_or_else(|| Bytes::new().into());
                let ran = within(&*self.engine, until, async { run(flow, message, upload).await }).await;
                plain::<M>(ran, FailureKind::Late)
            }
            Work::Stub(answer) => {
                let answered = within(&*self.engine, until, async { answer(caller, message) }).await;
                plain::<M>(answered, FailureKind::Late)
            }
        }
    }

    async fn read<M: Message>(
        &self,
        handler: &Arc<Handler<M>>,
        caller: &Caller,
        message: M,
        until: Instant,
    ) -> Answered<M> {
        let site = &handler.site;
        let store = site.store.as_ref().ok_or_else(no_store)?;
        let ticket = Ticket { slow: site.slow, ..ticket(site.label, caller, until) };
        let (handler, caller, tally) = (handler.clone(), caller.clone(), self.tally.clone());
        let service = site.service;
        let seen = store.read_with(ticket, move |db| {
            let Work::Read(run) = &*handler.work else { return Err(Error::from(no_store())) };
            let snapshot = Snapshot::new(db, &caller, &handler.site);
            let outcome = run(&snapshot, &message);
            if let Some(tally) = &tally {
                tally.add_statements(snapshot.statements());
            }
            outcome
        });
        match within(&*self.engine, until + GRACE, seen).await {
            Ok(seen) => {
                let seen = seen?;
                Ok(Replied { value: seen.value, commit: Some(Commit { service, sequence: seen.sequence }) })
            }
            Err(unfinished) => Err(failure(unfinished, FailureKind::Late).into()),
        }
    }

    async fn write<M: Message>(
        &self,
        handler: &Arc<Handler<M>>,
        caller: &Caller,
        message: M,
        upload: Option<Bytes>,
        until: Instant,
    ) -> Answered<M> {
        let site = &handler.site;
        let store = site.store.as_ref().ok_or_else(no_store)?;
        let ticket = ticket(site.label, caller, until);
        if let Some(bytes) = &upload {
            fits(bytes, store)?;
        }
        let (handler, caller, tally) = (handler.clone(), caller.clone(), self.tally.clone());
        let service = site.service;
        let written = store.write_with(ticket, move |db| {
            let tx = Tx::new(db, &caller, &handler.site);
            let outcome = match &*handler.work {
                Work::Write(run) => run(&tx, message.clone()),
                Work::Upload(run) => run(&tx, message.clone(), upload.clone().unwrap_or_default()),
                _ => Err(no_store().into()),
            };
            if let Some(tally) = &tally {
                tally.add_statements(tx.statements());
            }
            outcome
        });
        match within(&*self.engine, until + GRACE, written).await {
            Ok(written) => {
                let written = written?;
                let commit = Commit { service, sequence: written.sequence };
                if let Some(tally) = &self.tally {
                    tally.wrote(commit);
                }
                Ok(Replied { value: written.value, commit: Some(commit) })
            }
            Err(unfinished) => Err(failure(unfinished, FailureKind::OutcomeUnknown).into()),
        }
    }
}

fn ticket(label: &'static str, caller: &Caller, until: Instant) -> Ticket {
    Ticket { tenant: caller.tenant(), deadline: Some(until), trace: caller.trace_number(), ..Ticket::label(label) }
}

/// How a call ended, for its meter.
pub(super) fn ended<T, R>(answered: &Result<T, Error<R>>) -> Ended {
    match answered {
        Ok(_) => Ended::Replied,
        Err(Error::Refused(_)) => Ended::Refused,
        Err(Error::Failed(f)) if by_caller(f.kind()) => Ended::Refused,
        Err(Error::Failed(_)) => Ended::Failed,
    }
}

/// Checks a message; a panic in its check is this call's failure.
pub(super) fn checked<M: Message>(message: &M) -> Result<(), Failure> {
    let looked = catch_unwind(AssertUnwindSafe(|| {
        let mut check = Check::new();
        message.check(&mut check);
        check
    }));
    looked.map_err(|_| failure(Unfinished::Panicked, FailureKind::Late))?.finish()
}

/// Whether it is the caller who must change something: no fault of the system.
fn by_caller(kind: FailureKind) -> bool {
    use FailureKind as K;
    matches!(kind, K::Invalid | K::Unauthenticated | K::TooLarge | K::Interrupted)
}

impl<M: Message> Handler<M> {
    fn is_flow(&self) -> bool {
        matches!(&*self.work, Work::Flow(_) | Work::Receive(_) | Work::Stub(_))
    }
}

/// Refuses bytes that no value may have, before they wait for their turn.
fn fits(bytes: &Bytes, store: &Store) -> Result<(), Failure> {
    let max = store.config().value_max;
    if bytes.len() as u64 <= max {
        return Ok(());
    }
    let text = format!("an upload of {} bytes is above value_max, {max} bytes", bytes.len());
    Err(Failure::new(FailureKind::TooLarge, text))
}

fn plain<M: Message>(finished: Result<Outcome<M>, Unfinished>, late: FailureKind) -> Answered<M> {
    match finished {
        Ok(outcome) => outcome.map(|value| Replied { value, commit: None }),
        Err(unfinished) => Err(failure(unfinished, late).into()),
    }
}

fn failure(unfinished: Unfinished, late: FailureKind) -> Failure {
    match unfinished {
        Unfinished::Panicked => Failure::new(FailureKind::Panicked, "the handler panicked"),
        Unfinished::Late if late == FailureKind::OutcomeUnknown => {
            Failure::new(late, "the store did not answer in time; it is not known whether the change was kept")
        }
        Unfinished::Late => Failure::new(late, "the deadline passed"),
    }
}

fn no_store() -> Failure {
    Failure::internal("a handler was bound without its store")
}
