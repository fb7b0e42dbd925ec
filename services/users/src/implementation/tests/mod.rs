//! Users as a whole: real files, the real hash at next to no cost.

mod attacks;
mod credentials;
mod http;
mod rights;
mod users;

use std::sync::Arc;

use monolite_service::{Caller, Error, Message, Outcome, Refusal, RefusalKind, UserId};
use monolite_testkit::App;

use super::passwords::Passwords;
use super::{Config, Cost};
use crate::{CreateUser, Role, User};

pub(super) const PASSWORD: &str = "correct horse battery";

/// An application with Users alone.
pub(super) struct World {
    pub(super) app: App,
    pub(super) passwords: Arc<Passwords>,
}

impl World {
    pub(super) fn new() -> World {
        World::with(Config::default())
    }

    pub(super) fn open() -> World {
        World::with(Config { open_registration: true, ..Config::default() })
    }

    pub(super) fn with(config: Config) -> World {
        let config = Config { cost: Cost::for_tests(), ..config };
        let passwords = Passwords::new(&config);
        World { app: monolite_testkit::app([super::service_with(&config, passwords.clone())]), passwords }
    }

    pub(super) fn call<M: Message>(&self, caller: &Caller, message: M) -> Outcome<M> {
        self.app.host().call_blocking(caller, message)
    }

    /// A call by the system, which may all.
    pub(super) fn sys<M: Message>(&self, message: M) -> Outcome<M> {
        self.call(&Caller::system(), message)
    }

    pub(super) fn create(&self, email: &str, role: Role) -> User {
        self.sys(CreateUser { role, ..new_user(email) }).unwrap()
    }
}

pub(super) fn new_user(email: &str) -> CreateUser {
    CreateUser { email: email.into(), password: PASSWORD.into(), name: None, role: Role::Member }
}

/// A caller as the authenticator would make it.
pub(super) fn caller(user: &User) -> Caller {
    Caller::signed_in(user.id).with_roles([user.role.as_str()])
}

pub(super) fn nobody() -> UserId {
    UserId(monolite_service::Uuid::from_u128(7))
}

/// The code of a refusal; a reply or a failure fails the test.
#[track_caller]
pub(super) fn code<T: std::fmt::Debug, R: Refusal>(outcome: Result<T, Error<R>>) -> String {
    outcome.unwrap_err().refusal().expect("a refusal").code().into_owned()
}

/// The sort of a refusal.
#[track_caller]
pub(super) fn kind<T: std::fmt::Debug, R: Refusal>(outcome: Result<T, Error<R>>) -> RefusalKind {
    outcome.unwrap_err().refusal().expect("a refusal").kind()
}

/// The first wrong field, of a failure or of a refusal.
#[track_caller]
pub(super) fn wrong_field<T: std::fmt::Debug, R: Refusal>(outcome: Result<T, Error<R>>) -> String {
    match outcome.unwrap_err() {
        Error::Failed(failure) => failure.fields().first().expect("a wrong field").field.clone(),
        Error::Refused(refusal) => refusal.fields().first().expect("a wrong field").field.clone(),
    }
}
