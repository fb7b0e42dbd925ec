//! Files: binary objects of up to 16 GiB, sent and fetched as streams, kept in pieces of 64 KiB.
//!
//! A file belongs to the user who created it; only the owner and admins see it, for all others it does not exist. It is
//! created first, then its content arrives, in one request or in many: an upload that broke off goes on where it
//! stands, after a crash of the server too. A content never changes; another content is another file.
//!
//! ```text
//! POST   /files                  create: name, size, content_type, sha256 (the last three as far as known)
//! GET    /files                  the caller's files, newest first
//! GET    /files/{id}             what is known of one
//! DELETE /files/{id}
//! PUT    /files/{id}/content     the content, from its beginning or, with Upload-Offset, from where it stands
//! HEAD   /files/{id}/content     Upload-Offset: where it stands
//! GET    /files/{id}/content     the content, or the part of it that Range asks for
//! ```
//!
//! **Invariants**
//! - What was acknowledged of an upload is on disk, and its running SHA-256 with it, in one transaction.
//! - A file is complete only with as many bytes and with the SHA-256 that were declared, where they were.
//! - Pieces of all uploads and removals take turns: one of them at a time is in the writer's queue.
//!
//! Absent on purpose: changing a content, guessing a content type, sharing between users, a bound on all of a user's
//! complete files together.

mod contract;
mod implementation;

pub use contract::*;
pub use implementation::{Config, service, service_with};
