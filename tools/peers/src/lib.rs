//! Other people's programs that tests and benchmarks compare or work with, if they are on this machine: litestream as a second
//! opinion on archives, SeaweedFS as a server that speaks S3.
//!
//! **Invariants**
//! - A program is the one that a variable names, else the first of its name on the PATH; nothing is installed.
//! - What is missing is said by name, with how to get it: a test that is skipped says so.
//! - What is started ends with its value.
//!
//! Never here: what is compared. PostgreSQL and PocketBase are started by `tools/bench`, which alone uses them.

mod litestream;
mod weed;

pub use litestream::litestream;
pub use weed::Weed;

use std::path::PathBuf;

fn find(variable: &str, name: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut known = named.into_iter().chain(std::env::split_paths(&path).map(|folder| folder.join(name)));
    known.find(|path| path.is_file())
}
