//! A service: a name, its file's migrations, and the handlers of its messages.
//!
//! **Invariants**
//! - It is a description: nothing runs and no file is touched until an engine opens it.
//! - Words that apply to a handler (`at`, `upload`, ..) apply to the last one registered before them.

use crate::access::{Access, Method};
use crate::authenticate::BoxFuture;
use crate::engine::{Registration, Typed};
use crate::flow::Flow;
use crate::gauge::Gauge;
use crate::handler::{AnyWork, Work, WorkKind, WriteHandler};
use crate::message::Message;
use crate::outcome::Outcome;
use crate::snapshot::Snapshot;
use crate::upload::Upload;
use monolite_store as store;
use std::any::TypeId;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A service, described. An engine opens it on its own file.
#[derive(Clone)]
pub struct Service {
    /// Its name; its file is `<name>/<name>.db`.
    pub name: &'static str,
    /// The steps that make its file's schema.
    pub migrations: store::Migrations,
    /// Its store's limits.
    pub config: store::Config,
    /// Its handlers, in the order of registration.
    pub handlers: Vec<HandlerSpec>,
    /// Statements to prepare at start.
    pub statements: Vec<&'static str>,
    /// Its background work.
    pub background: Vec<Background>,
    /// The numbers it shows to operators.
    pub gauges: Vec<Gauge>,
}

/// One handler of a service, with the words said about it.
#[derive(Clone)]
pub struct HandlerSpec {
    /// Its message's type, sealed.
    #[doc(hidden)]
    pub registration: Arc<dyn Registration>,
    /// Its message's name within the service.
    pub message: &'static str,
    /// How it answers.
    pub kind: WorkKind,
    /// Where it is served.
    pub endpoints: Vec<Endpoint>,
    /// The `Location` of what it creates, with `{placeholders}` from the reply's fields.
    pub creates: Option<&'static str>,
    /// It takes an upload of at most this many bytes.
    pub upload: Option<u64>,
    /// It answers with a [`Blob`](crate::Blob) or a [`LargeBlob`](crate::LargeBlob).
    pub streams: bool,
    /// It is known to be slow.
    pub slow: bool,
    /// How long it may take, where not as long as any.
    pub deadline: Option<Duration>,
    /// How large its body may be, where not as large as any, in bytes.
    pub body_limit: Option<u64>,
}

impl HandlerSpec {
    /// How large a body it takes, whatever that body is, where it says so itself.
    pub fn body_max(&self) -> Option<u64> {
        self.upload.or(self.body_limit)
    }
}

/// Where a handler is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path below `/api/v1`, with `{fields}` of the message.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
}

/// Background work of a service.
#[derive(Clone)]
pub struct Background {
    /// How often.
    pub period: Duration,
    /// Its message's name.
    pub message: &'static str,
    /// Its message's type.
    pub message_type: TypeId,
    /// Does it once, as the system.
    pub run: Arc<dyn Fn(Flow) -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

impl Service {
    /// A service with this name, on a file with these migrations.
    pub fn new(name: &'static str, migrations: store::Migrations) -> Self {
        Service {
            name,
            migrations,
            config: store::Config::default(),
            handlers: Vec::new(),
            statements: Vec::new(),
            background: Vec::new(),
            gauges: Vec::new(),
        }
    }

    /// Registers a write: one atomic change of this service. It may run more than once; only the last run counts.
    pub fn write<M: Message, Shape>(self, handler: impl WriteHandler<M, Shape>) -> Self {
        self.register(handler.into_work())
    }

    /// Registers a read: a pure function of one snapshot of this service.
    pub fn read<M: Message>(self, handler: impl Fn(&Snapshot<'_>, &M) -> Outcome<M> + Send + Sync + 'static) -> Self {
        self.register(AnyWork::<M>(Arc::new(Work::Read(Box::new(handler)))))
    }

    /// Registers a flow: async code over several services.
    pub fn flow<M: Message, F>(self, handler: impl Fn(Flow, M) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome<M>> + Send + 'static,
    {
        let work =
            Work::Flow(Box::new(move |flow, message: M| Box::pin(handler(flow, message)) as BoxFuture<'static, _>));
        self.register(AnyWork(Arc::new(work)))
    }

    /// Registers a flow that takes an upload as it arrives: `async fn(Flow, M, Upload)`.
    ///
    /// It takes the upload piece by piece and hands each to a write of its own ([`Flow::call_with`]); the sender waits
    /// meanwhile. What was written before the upload breaks off stays.
    pub fn receive<M: Message, F>(self, handler: impl Fn(Flow, M, Upload) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcome<M>> + Send + 'static,
    {
        let work = Work::Receive(Box::new(move |flow, message: M, upload| {
            Box::pin(handler(flow, message, upload)) as BoxFuture<'static, _>
        }));
        self.register(AnyWork(Arc::new(work)))
    }

    /// Serves the last handler at a method and path, to those with access. Paths are below `/api/v1`; `{names}` in them are fields.
    pub fn at(self, method: Method, path: &'static str, access: Access) -> Self {
        self.last(|h| h.endpoints.push(Endpoint { method, path, access }))
    }

    /// The last handler creates a thing that is found at this path: `creates("/recipes/{id}")`.
    pub fn creates(self, location: &'static str) -> Self {
        self.last(|h| h.creates = Some(location))
    }

    /// The last handler takes an upload of at most this many bytes: `fn(&Tx, M, Bytes)`, or as it arrives
    /// `async fn(Flow, M, Upload)`.
    pub fn upload(self, bytes_max: u64) -> Self {
        self.last(|h| h.upload = Some(bytes_max))
    }

    /// The last handler answers with a [`Blob`](crate::Blob), or piece by piece with a [`LargeBlob`](crate::LargeBlob).
    pub fn streams(self) -> Self {
        self.last(|h| h.streams = true)
    }

    /// The last handler, a read, is known to be slow: it starts in the slow lane.
    pub fn slow(self) -> Self {
        self.last(|h| h.slow = true)
    }

    /// The last handler may take this long at most.
    pub fn deadline(self, at_most: Duration) -> Self {
        self.last(|h| h.deadline = Some(at_most))
    }

    /// The last handler's body may have this many bytes at most.
    pub fn body(self, bytes_max: u64) -> Self {
        self.last(|h| h.body_limit = Some(bytes_max))
    }

    /// Sends a message to its handler, as the system, again and again: background work.
    pub fn every<M: Message>(mut self, period: Duration, message: M) -> Self {
        let run = move |flow: Flow| {
            let message = message.clone();
            Box::pin(async move { flow.call(message).await.map(drop).map_err(|e| e.to_string()) })
                as BoxFuture<'static, _>
        };
        self.background.push(Background {
            period,
            message: M::NAME,
            message_type: TypeId::of::<M>(),
            run: Arc::new(run),
        });
        self
    }

    /// Limits of this service's store other than the defaults.
    pub fn config(self, config: store::Config) -> Self {
        Service { config, ..self }
    }

    /// The same, limit by limit: `.limits(|config| config.queue_max = 64)`.
    pub fn limits(mut self, change: impl FnOnce(&mut store::Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Shows numbers to operators, beside what every service shows.
    pub fn gauges(mut self, gauges: impl IntoIterator<Item = Gauge>) -> Self {
        self.gauges.extend(gauges);
        self
    }

    /// Statements to prepare at start, so that a wrong one stops the start and not a caller.
    pub fn statements(mut self, statements: &[&'static str]) -> Self {
        self.statements.extend(statements);
        self
    }

    fn register<M: Message>(mut self, work: AnyWork<M>) -> Self {
        self.handlers.push(HandlerSpec {
            message: M::NAME,
            kind: work.0.kind(),
            registration: Arc::new(Typed::new(work)),
            endpoints: Vec::new(),
            creates: None,
            upload: None,
            streams: false,
            slow: false,
            deadline: None,
            body_limit: None,
        });
        self
    }

    fn last(mut self, change: impl FnOnce(&mut HandlerSpec)) -> Self {
        change(self.handlers.last_mut().expect("a handler was registered before the words that apply to it"));
        self
    }
}

/// Declares statements as constants and lists them for [`Service::statements`]:
///
/// ```
/// monolite_service::statements! {
///     /// All statements of this service.
///     const STATEMENTS;
///     ADD = "INSERT INTO notes(id, title) VALUES (?, ?)";
///     TITLE = "SELECT title FROM notes WHERE id = ?";
/// }
/// assert_eq!(STATEMENTS, [ADD, TITLE]);
/// ```
#[macro_export]
macro_rules! statements {
    ($(#[$doc:meta])* $vis:vis const $all:ident; $($name:ident = $sql:expr;)*) => {
        $(const $name: &str = $sql;)*
        $(#[$doc])* $vis const $all: &[&str] = &[$($name),*];
    };
}
