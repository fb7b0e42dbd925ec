//! Why an assembly does not start.

use monolite_store as store;
use std::fmt;
use std::path::PathBuf;

/// Why an assembly does not start. Each text says what to change.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Two things have one name, or one thing is said in a way that cannot work; the program must change.
    Wrong {
        /// The service.
        service: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A service's file could not be opened.
    Store {
        /// The service.
        service: &'static str,
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: store::Error,
    },
    /// A registered statement does not prepare on the service's file.
    Statement {
        /// The service.
        service: &'static str,
        /// The statement.
        sql: &'static str,
        /// Why not.
        source: store::Error,
    },
    /// There is no such service.
    Unknown {
        /// Its name.
        service: String,
    },
    /// The system refused a folder or a thread.
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Wrong { service, what } => write!(f, "service {service}: {what}"),
            StartError::Store { service, path, source } => {
                write!(f, "service {service} cannot open {}: {source}", path.display())
            }
            StartError::Statement { service, sql, source } => {
                write!(f, "service {service} has a statement that does not prepare: {sql}: {source}")
            }
            StartError::Unknown { service } => write!(f, "there is no service {service}"),
            StartError::Io { what, source } => write!(f, "{what}: {source}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Wrong { .. } | StartError::Unknown { .. } => None,
            StartError::Store { source, .. } | StartError::Statement { source, .. } => Some(source),
            StartError::Io { source, .. } => Some(source),
        }
    }
}
