//! The authenticator seam: who is calling, from what came with the request.

use crate::caller::Caller;
use crate::flow::Flow;
use crate::outcome::Error;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What came with a request to show who is calling.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The bearer token, if one was given.
    pub bearer: Option<String>,
    /// Where the request comes from.
    pub address: Option<IpAddr>,
}

/// Finds out who is calling. The flow calls as the system; the credentials without a bearer are an anonymous caller's.
pub trait Authenticator: Send + Sync + 'static {
    /// The caller, or a refusal ([`Refused::Unauthenticated`](crate::Refused::Unauthenticated) for a bad token).
    fn authenticate<'a>(&'a self, flow: &'a Flow, credentials: &'a Credentials)
    -> BoxFuture<'a, Result<Caller, Error>>;
}
