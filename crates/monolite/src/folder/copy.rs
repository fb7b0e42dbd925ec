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
    let cut = host.long_cut(&[])?;
    if !cut.missing().is_empty() {
        let missing = cut.missing().join(", ");
        anyhow::bail!(
            "no copy was made, since it would not have {missing}: in quarantine, `status` says why; restore or rewind that first"
        )
    }
    let services: Vec<&str> = cut.sequences().map(|(service, _)| service).collect();
    // Whose WAL has grown most is next, since the cut keeps it from starting over until its copy is made.
    let wal = |place: &usize| host.store(services[*place]).map_or(0, |store| store.status().wal_bytes);
    let next = |left: &[usize]| left.iter().copied().max_by_key(wal);
    into_empty(folder, || {
        each(folder, &services, next, |service, to| {
            let mut told = |done, total| progress(Step { what: services[service].to_owned(), done, total });
            Ok(cut.copy_to(services[service], to, &mut told)?)
        })
    })
}

/// The same for files that no server has. Their locks are shared from before the first copy to after the last, so nobody
/// writes meanwhile.
pub(crate) fn copy_stopped(
    folder: &Path,
    files: &[ServiceFile],
    progress: &mut dyn FnMut(Step),
) -> crate::Result<Vec<Copied>> {
    let services: Vec<&str> = files.iter().map(|file| file.service.as_str()).collect();
    into_empty(folder, || {
        let readers = files.iter().map(|file| Reader::open(&file.path, Owner::Nobody));
        let readers = readers.collect::<crate::Result<Vec<_>>>()?;
        let next = |left: &[usize]| left.first().copied();
        each(folder, &services, next, |service, to| {
            let mut told = |done, total| progress(Step { what: services[service].to_owned(), done, total });
            Ok(maintain::copy_to(readers[service].connection(), to, &mut told)?)
        })
    })
}

/// Copies one service after another, in the order that `next` chooses of those left; answers in the order given.
fn each(
    folder: &Path,
    services: &[&str],
    next: impl Fn(&[usize]) -> Option<usize>,
    mut copy: impl FnMut(usize, &Path) -> crate::Result<store::Copied>,
) -> crate::Result<Vec<Copied>> {
    let mut one = |place: usize| -> crate::Result<(usize, Copied)> {
        let to = ServiceFile::of(folder, services[place]);
        let made = copy(place, &to.path)?;
        File::open(folder)?.sync_all()?;
        let (bytes, file) = (to.sizes().0, to.path.display().to_string());
        Ok((place, Copied { service: to.service, file, bytes, sequence: made.sequence }))
    };
    let (mut left, mut copied): (Vec<usize>, Vec<(usize, Copied)>) = ((0..services.len()).collect(), Vec::new());
    while let Some(place) = next(&left) {
        left.retain(|other| *other != place);
        match one(place) {
            Ok(made) => copied.push(made),
            Err(e) => {
                // The folder was empty: these are ours.
                for service in services {
                    let _ = std::fs::remove_dir_all(folder.join(service));
                }
                return Err(e);
            }
        }
    }
    copied.sort_by_key(|(place, _)| *place);
    Ok(copied.into_iter().map(|(_, made)| made).collect())
}

/// Copies into a folder that is empty, or is made for it and is gone again where that fails.
fn into_empty<T>(folder: &Path, copy: impl FnOnce() -> crate::Result<T>) -> crate::Result<T> {
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => copy(),
        Ok(false) => Err(Usage(format!("{} is not empty; a copy goes into an empty folder", folder.display())).into()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let made = DirBuilder::new().mode(0o700).recursive(true).create(folder);
            made.with_context(|| format!("cannot create {}", folder.display()))?;
            copy().inspect_err(|_| {
                let _ = std::fs::remove_dir(folder); // empty by now; else it is somebody's
            })
        }
        Err(e) => Err(e).with_context(|| format!("cannot look at {}", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn copies_are_made_in_the_order_that_is_chosen_and_told_in_the_one_given() {
        let folder = tempfile::tempdir().unwrap();
        let (services, made) = (["A", "B", "C"], RefCell::new(Vec::new()));
        let copy = |place: usize, to: &Path| {
            std::fs::create_dir_all(to.parent().unwrap())?;
            std::fs::write(to, services[place])?;
            made.borrow_mut().push(services[place]);
            anyhow::ensure!(made.borrow().len() != 5, "the second copy of the second run fails");
            Ok(store::Copied { pages: 1, sequence: place as u64, took: Default::default() })
        };
        let last = |left: &[usize]| left.last().copied();
        let copied = each(folder.path(), &services, last, copy).unwrap();
        assert_eq!(*made.borrow(), ["C", "B", "A"]);
        assert_eq!(copied.iter().map(|c| c.service.as_str()).collect::<Vec<_>>(), services);
        each(folder.path(), &services, last, copy).unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    }
}
