//! Handlers: functions and closures that answer messages.
//!
//! **Invariants**
//! - A handler is `Fn`: what it captures is shared, not owned by a call.

use crate::authenticate::BoxFuture;
use crate::caller::Caller;
use crate::flow::Flow;
use crate::message::Message;
use crate::outcome::Outcome;
use crate::snapshot::Snapshot;
use crate::tx::Tx;
use crate::upload::Upload;
use bytes::Bytes;
use std::sync::Arc;

type WriteFn<M> = dyn Fn(&Tx<'_>, M) -> Outcome<M> + Send + Sync;
type UploadFn<M> = dyn Fn(&Tx<'_>, M, Bytes) -> Outcome<M> + Send + Sync;
type ReadFn<M> = dyn Fn(&Snapshot<'_>, &M) -> Outcome<M> + Send + Sync;
type FlowFn<M> = dyn Fn(Flow, M) -> BoxFuture<'static, Outcome<M>> + Send + Sync;
type ReceiveFn<M> = dyn Fn(Flow, M, Upload) -> BoxFuture<'static, Outcome<M>> + Send + Sync;
type StubFn<M> = dyn Fn(&Caller, M) -> Outcome<M> + Send + Sync;

/// What answers a message.
pub(crate) enum Work<M: Message> {
    Write(Box<WriteFn<M>>),
    Upload(Box<UploadFn<M>>),
    Read(Box<ReadFn<M>>),
    Flow(Box<FlowFn<M>>),
    Receive(Box<ReceiveFn<M>>),
    Stub(Box<StubFn<M>>),
}

/// How a message is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkKind {
    /// One atomic change of one service.
    Write,
    /// A pure function of one snapshot of one service.
    Read,
    /// Async code over several services.
    Flow,
}

/// A function that writes: `fn(&Tx, M) -> Outcome<M>`, or with an upload `fn(&Tx, M, Bytes) -> Outcome<M>`.
/// `Shape` tells the two apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a write handler",
    note = "a write is `fn(&Tx, M) -> Outcome<M>`, or with an upload `fn(&Tx, M, Bytes) -> Outcome<M>`, where M is a message!"
)]
pub trait WriteHandler<M: Message, Shape>: Send + Sync + 'static {
    #[doc(hidden)]
    fn into_work(self) -> AnyWork<M>;
}

/// The shape of `fn(&Tx, M)`.
pub struct Plain;
/// The shape of `fn(&Tx, M, Bytes)`.
pub struct WithUpload;

/// What answers a message, sealed.
#[doc(hidden)]
pub struct AnyWork<M: Message>(pub(crate) Arc<Work<M>>);

impl<M: Message, F> WriteHandler<M, Plain> for F
where
    F: Fn(&Tx<'_>, M) -> Outcome<M> + Send + Sync + 'static,
{
    fn into_work(self) -> AnyWork<M> {
        AnyWork(Arc::new(Work::Write(Box::new(self))))
    }
}

impl<M: Message, F> WriteHandler<M, WithUpload> for F
where
    F: Fn(&Tx<'_>, M, Bytes) -> Outcome<M> + Send + Sync + 'static,
{
    fn into_work(self) -> AnyWork<M> {
        AnyWork(Arc::new(Work::Upload(Box::new(self))))
    }
}

impl<M: Message> Work<M> {
    pub(crate) fn kind(&self) -> WorkKind {
        match self {
            Work::Write(_) | Work::Upload(_) => WorkKind::Write,
            Work::Read(_) => WorkKind::Read,
            Work::Flow(_) | Work::Receive(_) | Work::Stub(_) => WorkKind::Flow,
        }
    }
}
