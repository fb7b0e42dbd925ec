//! SQLite's C API, as far as the store needs it beside rusqlite.
//!
//! **Invariants**
//! - Unsafe code of this crate lives here and nowhere else.

#[allow(unsafe_code)]
mod above;
pub(crate) mod connection;
#[allow(unsafe_code)]
pub(crate) mod disk;
pub(crate) mod live;
#[allow(unsafe_code)]
mod pace;
pub(crate) mod pages;
pub(crate) mod raw;
pub(crate) mod rights;
pub(crate) mod sight;
#[allow(unsafe_code)]
pub(crate) mod sums;
mod tail;
#[allow(unsafe_code)]
pub(crate) mod version;
#[allow(unsafe_code)]
pub(crate) mod vfs;
pub(crate) mod watch;
#[allow(unsafe_code)]
pub(crate) mod write_back;
