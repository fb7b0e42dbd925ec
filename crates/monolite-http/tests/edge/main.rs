//! The edge over a real socket, with a toy service behind it.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)] // tests

mod at_least;
mod bad_input;
mod films;
mod notes;
mod overload;
mod proxies;
mod routes;
mod streams;
mod world;
