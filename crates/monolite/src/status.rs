//! The status of a server and its services, as it travels and is printed.

use crate::archive::ArchiveStatus;
use monolite_runtime::{Health, Writer};
use monolite_store::State;
use serde::{Deserialize, Serialize};

/// How a server does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerStatus {
    /// Whether one runs.
    pub(crate) running: bool,
    /// Its process.
    pub(crate) pid: Option<u32>,
    /// The program.
    pub(crate) program: String,
    /// Its version.
    pub(crate) version: String,
    /// The data folder.
    pub(crate) data: String,
    /// Where it listens.
    pub(crate) listen: Option<String>,
    /// Where it listens for operators.
    pub(crate) admin: Option<String>,
    /// The archive; absent where nothing is archived, or no server runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) archive: Option<ArchiveStatus>,
    /// Since how many seconds.
    pub(crate) uptime_seconds: Option<u64>,
    /// Its services.
    pub(crate) services: Vec<ServiceStatus>,
}

/// How a service does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServiceStatus {
    /// The service.
    pub(crate) service: String,
    /// `serving`, `read only: why`, `damaged: what`, `closed` or `stopped`.
    pub(crate) state: String,
    /// The last commit.
    pub(crate) sequence: Option<u64>,
    /// Bytes of the database file.
    pub(crate) bytes: u64,
    /// Bytes of its WAL.
    pub(crate) wal_bytes: u64,
    /// Writes waiting.
    pub(crate) queued: usize,
    /// Reads waiting for the slow lane.
    pub(crate) slow_queued: usize,
    /// Who holds the writer.
    pub(crate) writer: Option<String>,
    /// The writer in full; absent where no server runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held: Option<Writer>,
    /// What went wrong last in the background.
    pub(crate) trouble: Option<String>,
}

impl ServiceStatus {
    pub(crate) fn of(health: &Health) -> Self {
        let status = &health.status;
        ServiceStatus {
            service: health.service.to_owned(),
            state: match &status.state {
                State::Serving => "serving".to_owned(),
                State::ReadOnly(why) => format!("read only: {why}"),
                State::Damaged(why) => format!("damaged: {why}"),
                State::Closed => "closed".to_owned(),
            },
            sequence: Some(status.sequence),
            bytes: status.file_bytes,
            wal_bytes: status.wal_bytes,
            queued: status.queued,
            slow_queued: status.slow_queued,
            writer: status.holder.as_ref().map(|h| format!("{} for {:?}", h.label, h.since.elapsed())),
            held: None,
            trouble: status.trouble.clone(),
        }
    }
}
