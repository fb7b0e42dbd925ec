//! The executable from outside: real processes, files, sockets and signals.

#![allow(clippy::unwrap_used)] // in helpers of tests too: a failure must stop the test

mod acks;
mod architecture;
mod archives;
mod backups;
mod bad_folders;
mod buckets;
mod configuration;
mod exports;
mod guests;
mod imports;
mod kept;
mod projects;
mod proofs;
mod queries;
mod replaced;
mod rewinds;
mod serving;
mod users;
mod world;
