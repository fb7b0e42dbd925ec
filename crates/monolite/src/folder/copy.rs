//! Copies: into an empty folder; the store reads them back before they are reported.
//!
//! **Invariants**
//! - Files that are there are never overwritten.
//! - Each file is a snapshot of itself; the files of one copy are not of one moment.

use super::{Owner, Reader, ServiceFile};
use crate::control::Step;
use crate::verb::Usage;
use anyhow::Context as _;
use monolite_store::maintain;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// A verified copy of one service's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Copied {
    /// The service.
    pub(crate) service: String,
    /// The copy.
    pub(crate) file: String,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// The last commit in it.
    pub(crate) sequence: u64,
}

/// Copies files below a folder, which must be empty or not be there, and proves the copies. Where one fails, nothing is
/// left of them.
pub(crate) fn copy_all(
    folder: &Path,
    files: &[(ServiceFile, Owner<'_>)],
    progress: &mut dyn FnMut(Step),
) -> crate::Result<Vec<Copied>> {
    into_empty(folder)?;
    let copied: crate::Result<Vec<Copied>> =
        files.iter().map(|(file, owner)| copy(folder, file, *owner, progress)).collect();
    if copied.is_err() {
        // The folder was empty: these are ours.
        for (file, _) in files {
            let _ = std::fs::remove_dir_all(folder.join(&file.service));
        }
    }
    copied
}

fn into_empty(folder: &Path) -> crate::Result {
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Usage(format!("{} is not empty; a copy goes into an empty folder", folder.display())).into()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let made = DirBuilder::new().mode(0o700).recursive(true).create(folder);
            made.with_context(|| format!("cannot create {}", folder.display()))
        }
        Err(e) => Err(e).with_context(|| format!("cannot look at {}", folder.display())),
    }
}

fn copy(folder: &Path, from: &ServiceFile, owner: Owner<'_>, progress: &mut dyn FnMut(Step)) -> crate::Result<Copied> {
    let to = ServiceFile::of(folder, &from.service);
    let mut told = |done, total| progress(Step { what: from.service.clone(), done, total });
    let copied = match owner {
        Owner::Store(store) => store.copy_to(&to.path, &mut told)?,
        Owner::Nobody => maintain::copy_to(Reader::open(&from.path, owner)?.connection(), &to.path, &mut told)?,
    };
    File::open(folder)?.sync_all()?;
    let (bytes, file) = (to.sizes().0, to.path.display().to_string());
    Ok(Copied { service: to.service, file, bytes, sequence: copied.sequence })
}
