//! The control socket: how commands reach the data of a running server.
//!
//! `control.sock` in the data folder, a Unix stream of frames of JSON: one [`Request`] a frame from the command; from the
//! server any number of [`Reply::Progress`] frames, then one [`Reply::Done`] or [`Reply::Failed`]. Requests on one
//! connection run one after another; a command opens more connections for more at once.
//!
//! **Invariants**
//! - Only the owner of the data folder gets in: the socket is 0600, and the peer's uid is checked beside that.
//! - Lines, connections and waits are bounded.
//! - Nothing here starts, stops or configures a server.

mod answer;
mod client;
mod frame;
mod listen;

pub(crate) use client::{Client, Refused};
pub(crate) use listen::Listener;

use crate::rewind::Wish;
use crate::sql::Bounds;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};

/// The socket's name in the data folder.
pub(crate) const SOCKET: &str = "control.sock";

/// The code of a request that asked for something wrong.
const USAGE: &str = "usage";

/// What a command asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Call a service, as the system.
    Call {
        /// The full name: `Users.CreateUser`.
        message: String,
        /// The message.
        body: Box<RawValue>,
    },
    /// How the server does.
    Status,
    /// Read a service's file.
    Query {
        /// The service.
        service: String,
        /// One statement that reads.
        sql: String,
        /// How much at most.
        bounds: Bounds,
    },
    /// Read all services' files at one moment.
    QueryAll {
        /// One statement that reads.
        sql: String,
        /// How much at most.
        bounds: Bounds,
    },
    /// Check all files.
    Check,
    /// How the archive does.
    Archive,
    /// Wait until all that was committed is archived.
    ArchiveNow {
        /// In milliseconds.
        most: u64,
    },
    /// Make a new base of a service's archive.
    Base {
        /// The service.
        service: String,
    },
    /// Record a cut.
    Mark {
        /// Its name.
        name: String,
    },
    /// Restore a service's file of a moment beside the one that serves, and compare them.
    Rewind {
        /// What is wanted.
        wish: Wish,
    },
    /// Compare the file that was replaced last with the one that serves.
    Undo {
        /// The service.
        service: String,
    },
    /// Put what was prepared in place.
    Swap {
        /// The service.
        service: String,
        /// What was prepared.
        id: String,
    },
    /// Remove what was prepared.
    Drop {
        /// The service.
        service: String,
        /// What was prepared.
        id: String,
    },
    /// Remove the file that was replaced last.
    Forget {
        /// The service.
        service: String,
        /// Although the archive has not all of it.
        #[serde(default)]
        accept: bool,
    },
    /// Copy all files to an empty folder.
    Backup {
        /// An absolute path on the server's machine.
        folder: PathBuf,
    },
}

/// What the server answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// It is at work.
    Progress(Step),
    /// The answer.
    Done(Box<RawValue>),
    /// Why there is none.
    Failed(Refusal),
}

/// How far long work has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Step {
    /// On what.
    pub(crate) what: String,
    /// Steps done.
    pub(crate) done: u64,
    /// Steps in all.
    pub(crate) total: u64,
}

/// Why a request was not answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// A stable code.
    pub(crate) code: String,
    /// The text for people.
    pub(crate) detail: String,
    /// After how many milliseconds it makes sense to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_ms: Option<u64>,
}

/// The name of the socket as the kernel takes it at any depth of folders: a socket's path has 108 bytes at most, and
/// an open folder has a short name.
fn short_name(folder: &Path) -> std::io::Result<(std::fs::File, PathBuf)> {
    use std::os::fd::AsRawFd;
    let open = std::fs::File::open(folder)?;
    let name = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd()));
    Ok((open, name))
}
