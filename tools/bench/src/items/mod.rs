//! The bench service: one table with three fields, the same that the peer's collection has, served by the ordinary edge
//! beside Users and UserSessions, as the standard server serves its own.
//!
//! It runs as a process of its own: this executable with [`SERVER`] in its environment is that server, command line and all.
//!
//! **Invariants**
//! - Nothing is left out for speed: sign-in, two reads for each bearer token, checks, limits, metrics, the default configuration.

mod contract;
mod implementation;

pub(crate) use contract::{CONTENT_MAX, TITLE_MAX};

use monolite::App;
use std::process::ExitCode;

/// The environment variable that makes this executable the server.
pub(crate) const SERVER: &str = "MONOLITE_BENCH_ITEMS_SERVER";

/// Runs the server's command line.
pub(crate) fn run() -> ExitCode {
    let users = monolite_users::Config { open_registration: true, ..monolite_users::Config::default() };
    App::new("monolite-bench-items")
        .service(monolite_users::service(users))
        .service(monolite_sessions::service(monolite_sessions::Config::default()))
        .service(implementation::service())
        .authenticate(monolite_sessions::bearer())
        .run()
}
