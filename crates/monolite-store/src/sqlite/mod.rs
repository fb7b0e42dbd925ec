//! SQLite's C API, as far as the store needs it beside rusqlite.
//!
//! **Invariants**
//! - Unsafe code of this crate lives here and nowhere else.

pub(crate) mod connection;
pub(crate) mod raw;
mod tail;
#[allow(unsafe_code)]
pub(crate) mod version;
#[allow(unsafe_code)]
pub(crate) mod vfs;
pub(crate) mod watch;
