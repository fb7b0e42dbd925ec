//! Copies: into an empty folder; the store reads them back before they are reported.
//!
//! **Invariants**
//! - Files that are there are never overwritten.
//! - All files of one copy are of one moment.

use super::{Owner, Reader, ServiceFile};
use crate::control::Step;
use crate::verb::Usage;
use anyhow::Context as _;
use monolite_runtime::Host;
use monolite_store::{self as store, maintain};
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

/// Copies the files of a running server below a folder, which must be empty or not be there, all of one moment, and proves
/// the copies. Where one fails, nothing is left of them.
pub(crate) fn copy_running(folder: &Path, host: &Host, progress: &mut dyn FnMut(Step)) -> crate::Result<Vec<Copied>> {
    into_empty(folder)?;
    let cut = host.long_cut(&[])?;
    let services: Vec<&str> = cut.sequences().map(|(service, _)| service).collect();
    each(folder, &services, |service, to| {
        let mut told = |done, total| progress(Step { what: services[service].to_owned(), done, total });
        Ok(cut.copy_to(services[service], to, &mut told)?)
    })
}

/// The same for files that no server has. Their locks are shared from before the first copy to after the last, so nobody
/// writes meanwhile.
pub(crate) fn copy_stopped(
    folder: &Path,
    files: &[ServiceFile],
    progress: &mut dyn FnMut(Step),
) -> crate::Result<Vec<Copied>> {
    into_empty(folder)?;
    let readers =
        files.iter().map(|file| Reader::open(&file.path, Owner::Nobody)).collect::<crate::Result<Vec<_>>>()?;
    let services: Vec<&str> = files.iter().map(|file| file.service.as_str()).collect();
    each(folder, &services, |service, to| {
        let mut told = |done, total| progress(Step { what: services[service].to_owned(), done, total });
        Ok(maintain::copy_to(readers[service].connection(), to, &mut told)?)
    })
}

/// Copies one service after another, which `copy` does by its place.
fn each(
    folder: &Path,
    services: &[&str],
    mut copy: impl FnMut(usize, &Path) -> crate::Result<store::Copied>,
) -> crate::Result<Vec<Copied>> {
    let one = |(place, service): (usize, &&str)| {
        let to = ServiceFile::of(folder, service);
        let made = copy(place, &to.path)?;
        File::open(folder)?.sync_all()?;
        let (bytes, file) = (to.sizes().0, to.path.display().to_string());
        Ok(Copied { service: to.service, file, bytes, sequence: made.sequence })
    };
    let copied: crate::Result<Vec<Copied>> = services.iter().enumerate().map(one).collect();
    if copied.is_err() {
        // The folder was empty: these are ours.
        for service in services {
            let _ = std::fs::remove_dir_all(folder.join(service));
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
