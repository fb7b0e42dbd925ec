//! UserSessions beside Users: real files, a clock that the tests move.

mod attacks;
mod ends;
mod expiry;
mod grants;
mod http;
mod model;
mod numbers;
mod touches;
mod tries;

use std::sync::Arc;

use monolite_runtime::{Host, block_on};
use monolite_service::{Authenticator, Caller, Credentials, Error, Message, Millis, Outcome, Refusal, Uuid};
use monolite_testkit::App;
use monolite_users::{CreateUser, Role, User};

use super::Config;
use super::touches::Touches;
use crate::{Session, SignIn, SignedIn};

pub(super) const PASSWORD: &str = "correct horse battery";

/// An application with Users and UserSessions, and the real authenticator.
pub(super) struct World {
    pub(super) app: App,
    /// What a crash loses.
    pub(super) touches: Arc<Touches>,
}

impl World {
    pub(super) fn new() -> World {
        World::with(Config::default())
    }

    pub(super) fn with(config: Config) -> World {
        World::with_cost(config, monolite_users::Cost::for_tests())
    }

    pub(super) fn with_cost(config: Config, cost: monolite_users::Cost) -> World {
        let users = monolite_users::Config { cost, ..Default::default() };
        let touches = Arc::new(Touches::new(config.touches_max));
        let sessions = super::service_with(config, touches.clone());
        let app = monolite_testkit::app([monolite_users::service(users), sessions]).authenticate(super::bearer());
        app.use_real_auth();
        World { app, touches }
    }

    pub(super) fn call<M: Message>(&self, caller: &Caller, message: M) -> Outcome<M> {
        self.app.host().call_blocking(caller, message)
    }

    /// A call by the system, which may all.
    pub(super) fn sys<M: Message>(&self, message: M) -> Outcome<M> {
        self.call(&Caller::system(), message)
    }

    pub(super) fn create(&self, name: &str, role: Role) -> User {
        let email = format!("{name}@example.com");
        self.sys(CreateUser { email, password: PASSWORD.into(), name: None, role }).unwrap()
    }

    pub(super) fn sign_in(&self, user: &User) -> SignedIn {
        let sign_in = SignIn { email: user.email.clone(), password: PASSWORD.into() };
        self.call(&Caller::anonymous(None), sign_in).unwrap()
    }

    /// Who a bearer of this token is, by the authenticator.
    pub(super) fn recognise(&self, token: &str) -> Result<Caller, Error> {
        self.authenticate(&self.app.host(), &Credentials { bearer: Some(token.into()), address: None })
    }

    pub(super) fn authenticate(&self, host: &Host, credentials: &Credentials) -> Result<Caller, Error> {
        block_on(super::bearer().authenticate(&host.flow(&Caller::system()), credentials))
    }

    pub(super) fn holds(&self, session: &SignedIn) -> bool {
        match self.recognise(session.token.expose()) {
            Ok(caller) => caller.session() == Some(session.session.id),
            Err(error) => {
                assert_eq!(error.refusal(), Some(&monolite_service::Refused::Unauthenticated), "{error:?}");
                false
            }
        }
    }

    /// The rows of the file: id and last_seen_at.
    pub(super) fn rows(&self) -> Vec<(Uuid, i64)> {
        let host = self.app.host();
        let store = host.store("UserSessions").unwrap();
        let rows: Result<Vec<(Uuid, i64)>, monolite_service::Failure> = store.read_blocking(|s| {
            let mut statement = s.prepare("SELECT id, last_seen_at FROM sessions ORDER BY id")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        });
        rows.unwrap()
    }

    pub(super) fn now(&self) -> Millis {
        self.app.host().now()
    }

    /// One round of the work that is done behind.
    pub(super) fn write_touches(&self) {
        self.sys(super::write_touches::WriteTouches {}).unwrap();
    }

    pub(super) fn last_seen(&self, session: &Session) -> Millis {
        Millis(self.rows().iter().find(|(id, _)| *id == session.id).expect("a session").1)
    }
}

/// The code of a refusal; a reply or a failure fails the test.
#[track_caller]
pub(super) fn code<T: std::fmt::Debug, R: Refusal>(outcome: Result<T, Error<R>>) -> String {
    outcome.unwrap_err().refusal().expect("a refusal").code().into_owned()
}
