//! Two folders change places in one step.
//!
//! **Invariants**
//! - Either both have changed places or neither has; durable when it returns.

use anyhow::Context as _;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::File;
use std::path::Path;

/// Gives each of two folders the other's name.
pub(crate) fn exchange(a: &Path, b: &Path) -> crate::Result {
    let changed = renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE);
    changed.map_err(|e| {
        let why = match e {
            Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => {
                "this file system cannot exchange two folders in one step; stop the server and use `restore`"
            }
            Errno::XDEV | Errno::BUSY => {
                "the service's folder is on a file system of its own; stop the server and use `restore`"
            }
            _ => "the folders were not exchanged",
        };
        anyhow::Error::new(std::io::Error::from(e)).context(format!("{} and {}: {why}", a.display(), b.display()))
    })?;
    for folder in [a, b] {
        sync(folder.parent().context("a service's folder lies in another")?)?;
    }
    Ok(())
}

/// Makes durable what has a name in a folder.
pub(super) fn sync(folder: &Path) -> crate::Result {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("cannot sync {}", folder.display()))
}

/// Removes a folder with all that is in it, where it is there.
pub(super) fn remove(folder: &Path) -> crate::Result {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
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
}
