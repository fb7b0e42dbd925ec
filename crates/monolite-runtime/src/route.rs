//! Routes: what is served where, as neutral data.

use crate::host::Host;
use bytes::Bytes;
use monolite_service::edge::{Answer, Large, Rejection, Request, Takes};
use monolite_service::engine::{Registration, Schemas, Serving};
use monolite_service::{Access, BoxFuture, Caller, Failure, FailureKind, Method, WorkKind};
use monolite_store::{PIECE_BYTES, Ticket};
use std::sync::Arc;

/// One way to a handler from outside.
#[derive(Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path below `/api/v1`, with `{fields}` of the message.
    pub path: &'static str,
    /// Who may use it; checked by [`Route::call`].
    pub access: Access,
    /// The service.
    pub service: &'static str,
    /// The message's full name: `Recipes.AddRecipe`.
    pub message: &'static str,
    /// How it answers.
    pub kind: WorkKind,
    /// The `Location` of what it creates.
    pub creates: Option<&'static str>,
    /// It takes an upload instead of a JSON body.
    pub is_upload: bool,
    /// It takes its upload as that arrives.
    pub receives: bool,
    /// It answers with bytes of a content type instead of JSON.
    pub streams: bool,
    /// How large its body may be, an upload or JSON, where not as large as any, in bytes.
    pub body_max: Option<u64>,
    /// What its message takes from a request.
    pub takes: Takes,
    /// The schemas of its message, reply and refusal.
    pub schemas: Schemas,
    pub(crate) registration: Arc<dyn Registration>,
}

impl Route {
    /// Reads the request, calls on behalf of the caller, and writes the answer; counted by the host's tally, if it has one.
    pub fn call(
        &self,
        host: &Host,
        caller: &Caller,
        request: Request<'_>,
    ) -> BoxFuture<'static, Result<Answer, Rejection>> {
        if let Err(no) = caller.may(self.access) {
            return Box::pin(std::future::ready(Err(Rejection::of(no))));
        }
        let serving = Serving { creates: self.creates };
        self.registration.serve(&host.flow(caller), request, serving)
    }

    /// The bytes of a large blob that this route answered with, from here to the end of their piece, but no more than so
    /// many. A read of its own, in the slow lane where the blob has more than one piece: those may be on the disk.
    ///
    /// # Errors
    /// Where the blob is gone meanwhile, and as any read.
    pub fn piece(
        &self,
        host: &Host,
        caller: &Caller,
        large: &Large,
        from: u64,
        most: u64,
    ) -> BoxFuture<'static, Result<Bytes, Failure>> {
        let Some(store) = host.store(self.service) else {
            let none = Failure::new(FailureKind::Unavailable, "the service of a blob is not here");
            return Box::pin(std::future::ready(Err(none)));
        };
        let slow = large.length > PIECE_BYTES;
        let ticket = Ticket { tenant: caller.tenant(), label: self.message, slow, ..Ticket::default() };
        let large = large.clone();
        let read = store.read_with(ticket, move |s| {
            large.pieces.read(s, large.value, from, most.min(large.length.saturating_sub(from))).map_err(Failure::from)
        });
        Box::pin(async move {
            match read.await?.value {
                bytes if bytes.is_empty() => Err(Failure::internal("a large blob is shorter than its length")),
                bytes => Ok(Bytes::from(bytes)),
            }
        })
    }
}
