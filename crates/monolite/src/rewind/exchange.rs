//! Two folders change places in one step.
//!
//! **Invariants**
//! - Either both have changed places or neither has; durable when it returns.

use anyhow::Context as _;
use monolite_archive::disk;
use rustix::io::Errno;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const OF_ITS_OWN: &str = "the folder of the service is on a file system of its own; stop the server and use `restore`";

/// Gives each of two folders the other's name.
pub(crate) fn exchange(a: &Path, b: &Path) -> crate::Result {
    disk::exchange(a, b).map_err(|e| {
        let why = match e.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                "this file system cannot exchange two folders in one step; stop the server and use `restore`"
            }
            Some(Errno::XDEV | Errno::BUSY) => OF_ITS_OWN,
            _ => "the folders were not exchanged, or that is not durable",
        };
        anyhow::Error::new(e).context(format!("{} and {}: {why}", a.display(), b.display()))
    })
}

/// Whether a service's folder could be exchanged with one of its rewind: tried with two empty ones, before anything is done.
pub(super) fn probe(live: &Path, root: &Path) -> crate::Result {
    let (a, b) = (root.join("probe-a"), root.join("probe-b"));
    for folder in [&a, &b] {
        remove(folder)?;
        disk::make(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let tried = exchange(&a, &b);
    [&a, &b].into_iter().try_for_each(|folder| remove(folder))?;
    tried?;
    let device = |path: &Path| std::fs::symlink_metadata(path).map(|found| found.dev());
    if device(live).with_context(|| format!("cannot look at {}", live.display()))? != device(root)? {
        return Err(anyhow::anyhow!("{}: {OF_ITS_OWN}", live.display()));
    }
    Ok(())
}

/// Makes durable what has a name in a folder.
pub(super) fn sync(folder: &Path) -> crate::Result {
    disk::sync(folder).with_context(|| format!("cannot sync {}", folder.display()))
}

/// Removes a folder with all that is in it, where it is there.
pub(super) fn remove(folder: &Path) -> crate::Result {
    disk::remove_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_folders_change_places_and_a_missing_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("x/b"));
        std::fs::create_dir_all(&a).unwrap();
        std::fs::create_dir_all(&b).unwrap();
        std::fs::write(a.join("of-a"), "").unwrap();
        exchange(&a, &b).unwrap();
        assert!(b.join("of-a").exists() && !a.join("of-a").exists());
        assert!(exchange(&a, &folder.path().join("nothing")).is_err());
        assert!(a.exists());
    }

    #[test]
    fn what_cannot_be_exchanged_is_found_out_before_and_nothing_is_left_of_that() {
        let folder = tempfile::tempdir().unwrap();
        let (live, root) = (folder.path().join("live"), folder.path().join("root"));
        std::fs::create_dir(&live).unwrap();
        std::fs::create_dir_all(root.join("probe-a/of-a-crash")).unwrap();
        probe(&live, &root).unwrap();
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
        let elsewhere = Path::new("/proc");
        assert!(probe(elsewhere, &root).unwrap_err().to_string().contains("file system of its own"));
        assert!(probe(&folder.path().join("nothing"), &root).is_err());
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    }
}
