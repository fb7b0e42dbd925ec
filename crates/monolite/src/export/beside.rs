//! What lies beside an export while it is made: the file before it has its name, and the copies that are packed into it.
//!
//! **Invariants**
//! - Whoever makes an export holds a lock on its `<name>.partial` from before its copies are there until they are gone. So copies
//!   whose `.partial` nobody locks are those of an export that was killed: the next one in that folder removes them.
//! - Copies have a name that was never there before: a server that still copies for a killed command disturbs nobody.

use crate::verb::Usage;
use anyhow::Context as _;
use monolite_store::maintain::{is_named, rename_new};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Between a name and what tells its copies from others'.
const PARTS: &str = ".parts-";
/// Hex digits of that.
const DIGITS: usize = 16;

/// An export before it has its name; gone when it is dropped.
pub(crate) struct Partial {
    pub(super) file: File,
    pub(super) path: PathBuf,
    done: bool,
}

/// Copies on their way into an export; gone when it is dropped.
pub(crate) struct Parts(pub(crate) PathBuf);

impl Partial {
    /// Begins one, and removes what killed ones left in the same folder.
    pub(crate) fn begin(out: &Path) -> crate::Result<Partial> {
        let path = with(out, ".partial");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot create {}", path.display()))?;
        Partial::of(file, path, out)
    }

    fn of(file: File, path: PathBuf, out: &Path) -> crate::Result<Partial> {
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Usage(format!("another export to {} is at work", out.display())).into());
        }
        // The one who held the lock may have given the file its name, or removed it, since it was opened here.
        if !is_named(&file, &path) {
            return Err(Usage(format!("another export to {} has just ended", out.display())).into());
        }
        file.set_len(0).with_context(|| format!("cannot empty {}", path.display()))?;
        let partial = Partial { file, path, done: false };
        partial.tidy(out)?;
        Ok(partial)
    }

    /// A folder for its copies, that is not made yet.
    pub(crate) fn parts(&self, out: &Path) -> Parts {
        Parts(with(out, &format!("{PARTS}{:0DIGITS$x}", RandomState::new().build_hasher().finish())))
    }

    /// Gives it its name, durably; answers its bytes.
    pub(crate) fn finish(mut self, out: &Path) -> crate::Result<u64> {
        let bytes = self.file.metadata()?.len();
        let named = rename_new(&self.path, out);
        named.with_context(|| format!("cannot give the export its name {}", out.display()))?;
        self.done = true;
        let folder = out.parent().context("an absolute path to a file has a folder")?;
        File::open(folder).and_then(|folder| folder.sync_all())?;
        Ok(bytes)
    }

    /// Removes the copies of exports that nobody makes any more.
    fn tidy(&self, out: &Path) -> crate::Result {
        let folder = out.parent().context("an absolute path to a file has a folder")?;
        let cannot = || format!("cannot look into {}", folder.display());
        for entry in std::fs::read_dir(folder).with_context(cannot)? {
            let path = entry.with_context(cannot)?.path();
            let Some(name) = path.file_name().and_then(|name| of_parts(name.to_str()?)) else { continue };
            let partial = with(&folder.join(name), ".partial");
            let lock = match File::open(&partial) {
                _ if partial == self.path => None, // ours
                Ok(file) if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() => Some(file),
                _ => continue, // at work; or not ours at all, where there is none
            };
            std::fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            if lock.is_some() {
                let _ = std::fs::remove_file(&partial); // the next export to that name writes over it
            }
        }
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(end);
    path.into()
}

/// Of which export a folder has the copies, by its name.
fn of_parts(name: &str) -> Option<&str> {
    let (of, digits) = name.rsplit_once(PARTS)?;
    let is_hex = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (is_hex && !of.is_empty()).then_some(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_export_left_goes_with_the_next_and_what_is_of_others_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let make = |name: &str| std::fs::create_dir_all(at(name).join("Notes")).unwrap();
        let living = Partial::begin(&at("living")).unwrap();
        let of_living = living.parts(&at("living"));
        std::fs::create_dir(&of_living.0).unwrap();
        for name in ["dead.parts-0123456789abcdef", "own.parts-0123456789abcdef", "dead.parts", "dead.parts-0123"] {
            make(name);
        }
        std::fs::write(at("dead.partial"), "cut off").unwrap();
        assert!(Partial::begin(&at("living")).err().unwrap().is::<Usage>(), "at work");
        let next = Partial::begin(&at("next")).unwrap();
        for (name, stays) in [
            ("dead.parts-0123456789abcdef", false),
            ("dead.partial", false),
            ("own.parts-0123456789abcdef", true),
            ("dead.parts", true),
            ("dead.parts-0123", true),
        ] {
            assert_eq!(at(name).exists(), stays, "{name}");
        }
        assert!(of_living.0.exists() && at("living.partial").exists() && at("next.partial").exists());
        drop((of_living, living, next));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "only what is of others");
    }

    #[test]
    fn an_export_that_got_its_name_meanwhile_is_not_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("all.tar.zst");
        let path = with(&out, ".partial");
        std::fs::write(&path, "whole").unwrap();
        let opened = || OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let (late, gone) = (opened(), opened());
        std::fs::rename(&path, &out).unwrap();
        let refused = Partial::of(late, path.clone(), &out).err().unwrap();
        assert!(refused.to_string().contains("just ended"), "{refused}");
        std::fs::write(&path, "a third one's").unwrap();
        assert!(Partial::of(gone, path.clone(), &out).is_err());
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "whole");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a third one's");
        drop(Partial::begin(&out).unwrap());
        assert!(!path.exists());
    }
}
