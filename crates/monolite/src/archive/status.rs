//! The status of an archive, as it travels and is printed.

use super::restoring::moment;
use monolite_archive::{State, Verification};
use serde::{Deserialize, Serialize};

/// How the archive does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ArchiveStatus {
    /// Where it is.
    pub(crate) place: String,
    /// The moment of the last recorded cut.
    pub(crate) last_cut: Option<String>,
    /// Why no cut could be recorded.
    pub(crate) trouble: Option<String>,
    /// Each file's.
    pub(crate) files: Vec<FileStatus>,
}

/// How one file's archive does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FileStatus {
    /// The service.
    pub(crate) service: String,
    /// `keeping`, `spooling`, `refusing`, `dropping`, `opening`, `ended` or `stopped: why`.
    pub(crate) state: String,
    /// The file's last commit.
    pub(crate) published: u64,
    /// The last one in the archive.
    pub(crate) archived: u64,
    /// How long ago the first one was made that is not.
    pub(crate) lag_ms: u64,
    /// Bytes that wait.
    pub(crate) spool_bytes: u64,
    /// Segments and bytes of its history.
    pub(crate) segments: usize,
    /// See `segments`.
    pub(crate) bytes: u64,
    /// When a segment was put last.
    pub(crate) last_put: Option<String>,
    /// The commit of the newest base.
    pub(crate) last_base: Option<u64>,
    /// The part of a base copy on its way that is done, in percent.
    pub(crate) copying_percent: Option<u64>,
    /// What is known of it by proof.
    #[serde(default)]
    pub(crate) verification: Verification,
    /// Times that commits were missing.
    pub(crate) gaps: u64,
    /// Failures.
    pub(crate) errors: u64,
    /// The last one.
    pub(crate) last_error: Option<String>,
}

impl FileStatus {
    pub(super) fn of(s: monolite_archive::Status) -> Self {
        FileStatus {
            service: s.service,
            state: match s.state {
                State::Opening => "opening".to_owned(),
                State::Keeping => "keeping".to_owned(),
                State::Spooling => "spooling".to_owned(),
                State::Refusing => "refusing".to_owned(),
                State::Dropping => "dropping".to_owned(),
                State::Stopped(why) => format!("stopped: {why}"),
                State::Ended => "ended".to_owned(),
            },
            published: s.published,
            archived: s.archived,
            lag_ms: u64::try_from(s.lag.as_millis()).unwrap_or(u64::MAX),
            spool_bytes: s.spooled.1,
            segments: s.segments.0,
            bytes: s.segments.1,
            last_put: s.last_put_ms.map(moment),
            last_base: s.last_base,
            copying_percent: s.copying.map(|(done, all)| u64::from(done) * 100 / u64::from(all.max(1))),
            verification: s.verification,
            gaps: s.gaps,
            errors: s.errors,
            last_error: s.last_error,
        }
    }
}
