//! Users: who may come in, under which role, and the proof of their password. The only owner of `Users.db`.
//!
//! A user is an e-mail address (unique without case), a name, a role ([`Role::Admin`] or [`Role::Member`]) and a
//! password of 12 to 128 characters, kept as an argon2id hash. Users see and change themselves, admins all;
//! somebody else's id answers "not found", so that ids tell nothing.
//!
//! **Invariants**
//! - `credentials_version` rises with every disabling, password change and role change, and never falls: whoever
//!   stored an older one (a session) holds nothing any more. It rises by a random number, so that where the file is put
//!   back to a moment before a change, the next change does not give what the undone one gave: a session that was begun
//!   under an undone password stays ended.
//! - Hashing never runs on the writer, nor on the caller's thread: a bounded [`monolite_service::Pool`] does it.
//! - An unknown address, a wrong password and a disabled account get the same refusal after the same one hash.
//! - There is always an active admin, once there was one.
//!
//! Absent on purpose: sessions and tokens (service UserSessions), HTTP, mail.

mod contract;
mod implementation;

pub use contract::*;
pub use implementation::{Config, Cost, service};
