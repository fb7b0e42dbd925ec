//! UserSessions: who is signed in. The only owner of `UserSessions.db`.
//!
//! Signing in verifies address and password at Users and begins a session, known to the client by an opaque token
//! (`mono_` and 32 random bytes) of which only the SHA-256 is kept. [`bearer`] is the authenticator: on each request
//! two inline reads, the session by its token and the account's state, and nothing cached, so that an ended session,
//! a disabled user and a changed password or role take effect with the very next request.
//!
//! **Invariants**
//! - A token is seen once, in the answer that begins its session. No log, refusal or `Debug` shows it or its hash.
//! - A session ends at its absolute end whatever happens, and earlier when nobody used it for its idle time.
//! - A session holds only while the account's `credentials_version` is the one it was begun under.
//!
//! **What a crash can lose**: that a session was seen. `last_seen_at` is kept in memory and written behind in one write
//! a second, so a crash, or `kill -9`, loses at most the last second or two of it (and what did not fit into the bounded
//! map: [`Config::touches_max`]). A session may therefore end by idleness that much early, never late. Sessions
//! themselves, and their ends, are durable when answered.
//!
//! Absent on purpose: passwords (Users), cookies, HTTP.

mod contract;
mod implementation;

pub use contract::*;
pub use implementation::{Bearer, Bucket, Config, Tries, bearer, service};
