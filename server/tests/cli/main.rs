//! The executable from outside: real processes, files, sockets and signals.

mod architecture;
mod backups;
mod bad_folders;
mod configuration;
mod imports;
mod queries;
mod serving;
mod users;
mod world;
