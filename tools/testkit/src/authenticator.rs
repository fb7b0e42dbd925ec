//! The kit's authenticator: a test bearer names a user; the program's own takes over on demand.

use monolite_service::{Authenticator, BoxFuture, Caller, Credentials, Error, Flow, Refused};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};

/// Knows the test's users by their bearers.
#[derive(Default)]
pub(crate) struct TestAuthenticator {
    users: RwLock<HashMap<String, Caller>>,
    real: RwLock<Option<Arc<dyn Authenticator>>>,
    use_real: AtomicBool,
}

impl TestAuthenticator {
    pub(crate) fn know(&self, bearer: String, caller: Caller) {
        self.users.write().unwrap_or_else(PoisonError::into_inner).insert(bearer, caller);
    }

    pub(crate) fn set_real(&self, real: Arc<dyn Authenticator>) {
        *self.real.write().unwrap_or_else(PoisonError::into_inner) = Some(real);
    }

    pub(crate) fn use_real(&self) {
        assert!(
            self.real.read().unwrap_or_else(PoisonError::into_inner).is_some(),
            "give the app its authenticator first: app(..).authenticate(..)"
        );
        self.use_real.store(true, SeqCst);
    }

    async fn real(&self, flow: &Flow, credentials: &Credentials) -> Result<Caller, Error> {
        let real = self.real.read().unwrap_or_else(PoisonError::into_inner).clone();
        match real {
            Some(real) => real.authenticate(flow, credentials).await,
            None => Err(Refused::unauthenticated().into()),
        }
    }
}

impl Authenticator for TestAuthenticator {
    fn authenticate<'a>(
        &'a self,
        flow: &'a Flow,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Caller, Error>> {
        Box::pin(async move {
            if self.use_real.load(SeqCst) {
                return self.real(flow, credentials).await;
            }
            let Some(bearer) = &credentials.bearer else { return Ok(Caller::anonymous(credentials.address)) };
            let known = self.users.read().unwrap_or_else(PoisonError::into_inner).get(bearer).cloned();
            known.ok_or_else(|| Refused::unauthenticated().into())
        })
    }
}
