//! The data folder as it lies on disk: one folder a service, `Users/Users.db`.
//!
//! **Invariants**
//! - Files are opened by SQLite only, read-only; nothing here migrates, checkpoints or changes them.

mod copy;
mod examine;
mod reader;

pub(crate) use copy::{Copied, copy_running, copy_stopped};
pub(crate) use examine::{FileReport, examine_all};
pub(crate) use reader::{Owner, Reader, known};

use std::io;
use std::path::{Path, PathBuf};

/// A service's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceFile {
    /// The service.
    pub(crate) service: String,
    /// Its database file.
    pub(crate) path: PathBuf,
}

impl ServiceFile {
    /// Where a service's file lies in a data folder.
    pub(crate) fn of(data: &Path, service: &str) -> Self {
        ServiceFile { service: service.to_owned(), path: monolite_runtime::Assembly::file_of(data, service) }
    }

    /// Bytes of the database file and of its WAL.
    pub(crate) fn sizes(&self) -> (u64, u64) {
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        (length(&self.path), length(Path::new(&wal)))
    }
}

/// All services' files in a data folder, in the order of names.
pub(crate) fn service_files(data: &Path) -> io::Result<Vec<ServiceFile>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(data)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        let file = ServiceFile::of(data, &name);
        if std::fs::symlink_metadata(&file.path).is_ok() {
            found.push(file);
        }
    }
    found.sort_by(|a, b| a.service.cmp(&b.service));
    Ok(found)
}
