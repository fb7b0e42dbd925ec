//! Flows: async code over several services; no transaction is held between its calls.
//!
//! **Invariants**
//! - A flow's calls are the caller's: same user, tenant, trace and deadline.

use crate::caller::{Caller, UserId};
use crate::clock::Millis;
use crate::engine::Calls;
use crate::failure::Failure;
use crate::message::Message;
use crate::outcome::Outcome;
use bytes::Bytes;
use uuid::Uuid;

/// What a flow works with: calls on behalf of its caller. Cheap to clone.
#[derive(Clone)]
pub struct Flow {
    calls: Calls,
    caller: Caller,
}

impl Flow {
    /// A flow of a caller, over an engine's calls.
    pub fn new(calls: Calls, caller: Caller) -> Self {
        Flow { calls, caller }
    }

    /// Calls a service with a message.
    pub async fn call<M: Message>(&self, message: M) -> Outcome<M> {
        Ok(self.calls.call(&self.caller, message, None).await?.value)
    }

    /// Calls a service with a message and an upload: a piece of one that arrives, for instance.
    pub async fn call_with<M: Message>(&self, message: M, upload: Bytes) -> Outcome<M> {
        Ok(self.calls.call(&self.caller, message, Some(upload.into())).await?.value)
    }

    /// The same flow as the system itself, for what the caller may not do alone.
    pub fn as_system(&self) -> Flow {
        let mut caller = Caller::system();
        if let Some(deadline) = self.caller.deadline() {
            caller = caller.with_deadline(deadline);
        }
        Flow { calls: self.calls.clone(), caller: caller.in_trace_of(&self.caller) }
    }

    /// The same flow on behalf of another caller.
    pub fn on_behalf_of(&self, caller: Caller) -> Flow {
        Flow { calls: self.calls.clone(), caller }
    }

    /// The same flow whose calls are not counted in what the answer says of reads and their time: for a call whose time
    /// would tell a secret, such as whether there is somebody of an address.
    pub fn uncounted(&self) -> Flow {
        Flow { calls: self.calls.untallied(), caller: self.caller.clone() }
    }

    /// The caller.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The signed-in user; without one, the failure that says to sign in first.
    pub fn user(&self) -> Result<UserId, Failure> {
        self.caller.require_user()
    }

    /// The time.
    pub fn now(&self) -> Millis {
        self.calls.engine().clock().now()
    }

    /// A fresh id: UUIDv7, ascending.
    pub fn id(&self) -> Uuid {
        self.calls.engine().ids().id(self.now())
    }

    /// The calls below, for an engine's own use.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }
}
