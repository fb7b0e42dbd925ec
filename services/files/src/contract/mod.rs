//! The contract: what can be asked of Files, and what it answers.
//!
//! **Invariants**
//! - No SQL here. Bounds that do not depend on the configuration are checked before a message is queued.

mod content;
mod create_file;
mod delete_file;
mod file;
mod files_by_owner;

pub use content::{FileContent, PutContent};
pub use create_file::CreateFile;
pub use delete_file::DeleteFile;
pub use file::{File, FileById, FileId};
pub use files_by_owner::FilesByOwner;
