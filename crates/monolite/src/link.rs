//! The way from a verb to the services: through a running server, or in this process.
//!
//! **Invariants**
//! - A call means the same either way: as the system, with the same refusals.
//! - Shared by threads: as many calls at once as the verb has threads.

use crate::archive::Keeping;
use crate::control::{self, Client, Request};
use monolite_runtime::Host;
use monolite_service::{Error, Failure, FailureKind, Message, Service};
use std::any::TypeId;
use std::time::Duration;

/// How often a service that is overloaded or late is asked.
const TRIES_MAX: u32 = 60;
/// How long to wait after a call that came too late.
const LATE_WAIT: Duration = Duration::from_millis(200);

/// The way to the services.
pub struct Link(Kind);

enum Kind {
    Running { client: Client, services: Vec<Service> },
    Stopped(Box<Host>, Option<Keeping>),
}

struct Refused {
    error: anyhow::Error,
    retry_after: Option<Duration>,
}

impl Link {
    pub(crate) fn running(client: Client, services: Vec<Service>) -> Self {
        Link(Kind::Running { client, services })
    }

    pub(crate) fn stopped(host: Host, keeping: Option<Keeping>) -> Self {
        Link(Kind::Stopped(Box::new(host), keeping))
    }

    /// Whether a server runs on the data folder.
    pub fn is_running(&self) -> bool {
        matches!(&self.0, Kind::Running { .. })
    }

    /// Calls a service with a message, as the system; waits for the reply. Not for async workers.
    pub fn call<M: Message>(&self, message: M) -> crate::Result<M::Reply> {
        self.try_call(&message).map_err(|refused| refused.error)
    }

    /// The same for a read or a write (not a flow), and again where nothing was done because the service was overloaded
    /// or late, sixty times at most.
    pub fn call_patiently<M: Message>(&self, message: &M) -> crate::Result<M::Reply> {
        for _ in 1..TRIES_MAX {
            match self.try_call(message) {
                Err(Refused { retry_after: Some(wait), .. }) => std::thread::park_timeout(wait),
                other => return other.map_err(|refused| refused.error),
            }
        }
        self.try_call(message).map_err(|refused| refused.error)
    }

    fn try_call<M: Message>(&self, message: &M) -> Result<M::Reply, Refused> {
        match &self.0 {
            Kind::Stopped(host, keeping) => {
                let (host, tally) = host.tallied();
                let reply = host.call_blocking(&host.system(), message.clone()).map_err(|e| Refused {
                    retry_after: match &e {
                        Error::Failed(failure) => retry_after(failure),
                        Error::Refused(_) => None,
                    },
                    error: anyhow::anyhow!("{e}"),
                })?;
                let acknowledged = keeping.as_ref().map_or(Ok(()), |keeping| keeping.acks().acknowledge(&tally));
                let done = "it is done and on this machine's disk, not to be done again; but it is not archived";
                acknowledged.map_err(|e| Refused { retry_after: None, error: e.context(done) })?;
                Ok(reply)
            }
            Kind::Running { client, services } => {
                let asked = || {
                    let body = serde_json::value::to_raw_value(message)?;
                    client.ask(&Request::Call { message: full_name::<M>(services)?, body }, &mut |_| {})
                };
                asked().map_err(|error: anyhow::Error| {
                    let refused = error.downcast_ref::<control::Refused>();
                    let retry_after = refused.and_then(|r| r.0.retry_after_ms).map(Duration::from_millis);
                    Refused { error, retry_after }
                })
            }
        }
    }
}

/// When it makes sense to try again; none where it does not, or where something may have been done.
pub(crate) fn retry_after(failure: &Failure) -> Option<Duration> {
    match failure.kind() {
        FailureKind::Late => Some(LATE_WAIT),
        _ => failure.retry_after(),
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Kind::Stopped(host, keeping) = &mut self.0 {
            if let Some(keeping) = keeping.take() {
                keeping.finish();
            }
            // What was acknowledged is safe whatever this says.
            let _ = host.shutdown();
        }
    }
}

fn full_name<M: Message>(services: &[Service]) -> crate::Result<String> {
    let wanted = TypeId::of::<M>();
    let of = services.iter().find(|s| s.handlers.iter().any(|h| h.registration.message_type() == wanted));
    let service = of.ok_or_else(|| anyhow::anyhow!("no service of this program answers {}", M::NAME))?;
    Ok(format!("{}.{}", service.name, M::NAME))
}
