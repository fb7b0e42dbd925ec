//! The suite `http`: the real server as a process, loaded by another process, against an empty axum handler.

pub(crate) mod client;
pub(crate) mod document;
mod empty;
pub(crate) mod load;
mod suite;

pub(crate) use empty::empty;
pub(crate) use suite::run;
