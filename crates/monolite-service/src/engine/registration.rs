//! Registrations: handlers with their types erased, for the registry and for the edge.

use super::{Handler, Site};
use crate::authenticate::BoxFuture;
use crate::blob::{Blob, LargeBlob};
use crate::edge::{Answer, Rejection, Request, Takes};
use crate::failure::{Failure, FailureKind};
use crate::flow::Flow;
use crate::handler::{AnyWork, Work};
use crate::message::{Check, Message};
use bytes::Bytes;
use schemars::{Schema, SchemaGenerator};
use std::any::{Any, TypeId};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

/// Above this a body's check may take longer than an async worker should be kept.
const LARGE_BODY_BYTES: usize = 64 << 10;

/// A handler whose types are known only inside.
pub trait Registration: Send + Sync + 'static {
    /// The type of its message.
    fn message_type(&self) -> TypeId;
    /// The handler at its site: an `Arc<Handler<M>>`.
    fn bind(&self, site: Site) -> Arc<dyn Any + Send + Sync>;
    /// What the message takes from a request.
    fn takes(&self) -> &Takes;
    /// Whether it answers with a [`Blob`] or a [`LargeBlob`].
    fn answers_blob(&self) -> bool;
    /// Whether it takes an upload.
    fn takes_upload(&self) -> bool;
    /// Whether it takes an upload as it arrives.
    fn receives(&self) -> bool;
    /// The schemas of its message, reply and refusal.
    fn schemas(&self) -> Schemas;
    /// Calls with a message that is plain JSON; the reply is JSON too.
    fn call_json(&self, flow: &Flow, message: &[u8]) -> BoxFuture<'static, Result<Bytes, Rejection>>;
    /// Reads a request, calls, and writes the answer.
    fn serve(
        &self,
        flow: &Flow,
        request: Request<'_>,
        serving: Serving,
    ) -> BoxFuture<'static, Result<Answer, Rejection>>;
}

/// What the edge said about a handler.
#[derive(Debug, Clone, Copy, Default)]
pub struct Serving {
    /// The `Location` of what it creates.
    pub creates: Option<&'static str>,
}

/// Makes the schemas of a message, its reply and its refusal within a generator, so that they share definitions.
#[derive(Clone, Copy)]
pub struct Schemas {
    /// The message.
    pub message: fn(&mut SchemaGenerator) -> Schema,
    /// The reply.
    pub reply: fn(&mut SchemaGenerator) -> Schema,
    /// The refusal.
    pub refusal: fn(&mut SchemaGenerator) -> Schema,
}

/// A registration that knows its message.
pub(crate) struct Typed<M: Message> {
    work: Arc<Work<M>>,
    takes: OnceLock<Takes>,
}

impl<M: Message> Typed<M> {
    pub(crate) fn new(work: AnyWork<M>) -> Self {
        Typed { work: work.0, takes: OnceLock::new() }
    }
}

impl<M: Message> Registration for Typed<M> {
    fn message_type(&self) -> TypeId {
        TypeId::of::<M>()
    }

    fn bind(&self, site: Site) -> Arc<dyn Any + Send + Sync> {
        Arc::new(Handler { work: self.work.clone(), site })
    }

    fn takes(&self) -> &Takes {
        self.takes.get_or_init(Takes::of::<M>)
    }

    fn answers_blob(&self) -> bool {
        [TypeId::of::<Blob>(), TypeId::of::<LargeBlob>()].contains(&TypeId::of::<M::Reply>())
    }

    fn takes_upload(&self) -> bool {
        matches!(&*self.work, Work::Upload(_) | Work::Receive(_))
    }

    fn receives(&self) -> bool {
        matches!(&*self.work, Work::Receive(_))
    }

    fn schemas(&self) -> Schemas {
        Schemas {
            message: |g| g.subschema_for::<M>(),
            reply: |g| g.subschema_for::<M::Reply>(),
            refusal: |g| g.subschema_for::<M::Refusal>(),
        }
    }

    fn call_json(&self, flow: &Flow, message: &[u8]) -> BoxFuture<'static, Result<Bytes, Rejection>> {
        let message: M = match serde_json::from_slice(message) {
            Ok(message) => message,
            Err(wrong) => {
                let wrong = Failure::new(FailureKind::Invalid, format!("this is no {}: {wrong}", M::NAME));
                return Box::pin(std::future::ready(Err(wrong.into())));
            }
        };
        let (calls, caller) = (flow.calls().clone(), flow.caller().clone());
        Box::pin(async move {
            let replied = calls.call(&caller, message, None).await.map_err(Rejection::of)?;
            let reply = serde_json::to_vec(&replied.value);
            reply.map(Bytes::from).map_err(|e| Failure::internal(format!("a reply is not JSON: {e}")).into())
        })
    }

    fn serve(
        &self,
        flow: &Flow,
        mut request: Request<'_>,
        serving: Serving,
    ) -> BoxFuture<'static, Result<Answer, Rejection>> {
        let upload = request.upload.take();
        let message: M = match request.read(self.takes()) {
            Ok(message) => message,
            Err(wrong) => return Box::pin(std::future::ready(Err(wrong.into()))),
        };
        // A large body is decoded off the async workers, here; what its check looks at is best looked at here too, and
        // messages keep what is costly. The check that counts comes with the call.
        if request.body.is_some_and(|body| body.len() > LARGE_BODY_BYTES) {
            let _ = catch_unwind(AssertUnwindSafe(|| message.check(&mut Check::new())));
        }
        let (calls, caller) = (flow.calls().clone(), flow.caller().clone());
        Box::pin(async move {
            let replied = calls.call(&caller, message, upload).await.map_err(Rejection::of)?;
            Answer::of::<M>(replied, serving).await
        })
    }
}
