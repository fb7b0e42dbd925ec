//! Users of the app under test.

use crate::app::App;
use crate::http::Http;
use bytes::Bytes;
use monolite_runtime::{Replied, block_on};
use monolite_service::{Caller, Error, Message, Outcome, UserId};
use uuid::Uuid;

/// A user of the app under test: calls in process and over HTTP.
#[derive(Clone)]
pub struct User {
    app: App,
    caller: Caller,
    bearer: Option<String>,
}

impl User {
    pub(crate) fn of(app: &App, caller: Caller, bearer: Option<String>) -> Self {
        User { app: app.clone(), caller, bearer }
    }

    pub(crate) fn named(app: &App, name: &str) -> Self {
        let caller = Caller::signed_in(UserId(id_of(name)));
        User::of(app, caller, Some(format!("test-{name}"))).known()
    }

    /// The same user with roles: `app.user("ann").with_roles(["admin"])`.
    pub fn with_roles<S: Into<String>>(self, roles: impl IntoIterator<Item = S>) -> Self {
        let caller = self.caller.with_roles(roles);
        let bearer = self.bearer.map(|bearer| format!("{bearer}+{}", caller.roles().join("+")));
        User { app: self.app, caller, bearer }.known()
    }

    /// The app's authenticator knows this user's bearer.
    fn known(self) -> Self {
        if let Some(bearer) = &self.bearer {
            self.app.0.authenticator.know(bearer.clone(), self.caller.clone());
        }
        self
    }

    /// The user's id.
    ///
    /// # Panics
    /// For the system and for nobody in particular.
    #[track_caller]
    pub fn id(&self) -> UserId {
        self.caller.user().expect("this caller is not a user")
    }

    /// The user as a caller.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Calls in process, and waits.
    pub fn call<M: Message>(&self, message: M) -> Outcome<M> {
        self.app.host().call_blocking(&self.caller, message)
    }

    /// The same, with the commit that the reply comes from.
    pub fn call_seen<M: Message>(&self, message: M) -> Result<Replied<M::Reply>, Error<M::Refusal>> {
        block_on(self.app.host().call_seen(&self.caller, message))
    }

    /// Calls in process with an upload, and waits.
    pub fn upload<M: Message>(&self, message: M, bytes: impl Into<Bytes>) -> Outcome<M> {
        block_on(self.app.host().call_with(&self.caller, message, bytes.into()))
    }

    /// The app over HTTP, with this user's test bearer.
    pub fn http(&self) -> Http {
        Http::new(&self.app, self.bearer.clone())
    }
}

/// A name's id, the same in each run: a UUIDv7 whose bits are the name's sum (FNV-1a).
fn id_of(name: &str) -> Uuid {
    let sum = |start: u64| name.bytes().fold(start, |s, b| (s ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3));
    let (high, low) = (sum(0xCBF2_9CE4_8422_2325), sum(0x9E37_79B9_7F4A_7C15));
    let high = (high & 0xFFFF_FFFF_FFFF_0FFF) | 0x7000;
    Uuid::from_u64_pair(high, (low & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000)
}
