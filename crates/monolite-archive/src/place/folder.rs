//! A folder as a place.
//!
//! New things are written in `.partial/` on the same file system, synced, and renamed to their name without replacing;
//! then the folder is synced, and the folders above it that were made.
//!
//! **Invariants**
//! - Whatever has a name was fsynced, and so was the name.
//! - The file's modification time is the moment that was given: Litestream restores by it.
//! - Files are 0600, folders 0700.
//! - A folder that is held is never made anew, and nothing of another one at its path counts as missing: an unmounted disk
//!   is a place that does not answer.

use super::{Entry, Place, Upload, check_name};
use crate::disk::{self, Written};
use crate::layout::Layout;
use crate::planted::planted;
use crate::{Error, Kind, Result};
use monolite_store::WriteBack;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where what is not whole lies.
const PARTIAL: &str = ".partial";
/// What has lain there so long belongs to no living writer.
const ABANDONED: Duration = Duration::from_secs(7 * 24 * 3600);

/// A folder.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    held: Option<Which>,
}

/// Which folder it is, wherever it is mounted: the number of a device may change from one mount to the next.
#[derive(Debug, PartialEq, Eq)]
struct Which {
    inode: u64,
    /// Where the file system knows when it was made: numbers are used again.
    made: Option<SystemTime>,
}

impl Which {
    fn at(path: &Path) -> std::io::Result<Which> {
        let found = std::fs::metadata(path)?;
        Ok(Which { inode: found.ino(), made: found.created().ok() })
    }
}

impl Folder {
    /// Opens a folder, making it if it is not there.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = std::path::absolute(root.into()).map_err(|e| Error::io("the folder of the archive", e))?;
        let folder = Folder { root, held: None };
        make(&folder.root.join(PARTIAL))?;
        folder.sweep();
        Ok(folder)
    }

    /// Opens a folder that has to be there, for reading; nothing is made in it.
    pub fn existing(root: impl Into<PathBuf>) -> Result<Self> {
        let root = std::path::absolute(root.into()).map_err(|e| Error::io("the folder of the archive", e))?;
        match std::fs::metadata(&root) {
            Ok(found) if found.is_dir() => Ok(Folder { root, held: None }),
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Error::io(format!("cannot look at the folder {}", root.display()), e))
            }
            _ => Err(Error::new(Kind::Missing, format!("there is no folder {}", root.display()))),
        }
    }

    /// Holds to the folder that is there now. Where its path leads to another one later, or to none, since its disk was unmounted
    /// or it was moved away, all that is asked of it is [`Kind::Unreachable`] until it is back.
    ///
    /// # Errors
    /// Those of looking at it.
    pub fn held(mut self) -> Result<Self> {
        let which = Which::at(&self.root);
        self.held =
            Some(which.map_err(|e| Error::io(format!("cannot look at the folder {}", self.root.display()), e))?);
        Ok(self)
    }

    /// Whether it is still the one that is held.
    fn is_there(&self) -> Result<()> {
        let Some(held) = &self.held else { return Ok(()) };
        let what = match Which::at(&self.root) {
            Ok(there) if there == *held => return Ok(()),
            Ok(_) => "is not the folder that was opened",
            Err(e) if e.kind() == ErrorKind::NotFound => "is gone",
            Err(e) => return Err(Error::io(format!("cannot look at the folder {}", self.root.display()), e)),
        };
        let text = format!(
            "{} {what}: its disk was unmounted, or it was moved or removed. Put it back; to begin a new archive there, start the \
             server again",
            self.root.display()
        );
        Err(Error::new(Kind::Unreachable, text))
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes what writers that died left behind.
    fn sweep(&self) {
        let Ok(entries) = std::fs::read_dir(self.root.join(PARTIAL)) else { return };
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
            if age.is_some_and(|age| age > ABANDONED) {
                // If it cannot be removed it only takes room.
                let _ = disk::remove(&entry.path());
            }
        }
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        Ok(self.root.join(name))
    }

    fn begin(&self, name: &str) -> Result<Partial> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let target = self.path(name)?;
        self.is_there()?;
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|e| Error::new(Kind::Io, format!("no random numbers: {e}")))?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(PARTIAL).join(format!("{:016x}-{number}", u64::from_ne_bytes(nonce)));
        let file = match Written::create_new(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                make(&self.root.join(PARTIAL))?;
                Written::create_new(&path)
            }
            other => other,
        };
        let file = file.map_err(|e| Error::io(format!("writing {}", path.display()), e))?;
        Ok(Partial { file, length: 0, write_back: WriteBack::default(), path, target, named: false })
    }
}

impl Place for Folder {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn layout(&self) -> Layout {
        Layout::Folder
    }

    fn create(&self, name: &str) -> Result<Box<dyn Upload>> {
        Ok(Box::new(self.begin(name)?))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut partial = self.begin(name)?;
        let context = |e| Error::io(format!("writing {name} in {}", self.root.display()), e);
        partial.write_all(bytes).and_then(|()| partial.file.sync()).map_err(context)?;
        partial.name(true)
    }

    fn read(&self, name: &str, mut from: u64, most: usize, to: &mut Vec<u8>) -> Result<()> {
        let path = self.path(name)?;
        let context = |e| Error::io(format!("reading {}", path.display()), e);
        let file = File::open(&path).map_err(|e| self.is_there().err().unwrap_or_else(|| context(e)))?;
        let start = to.len();
        let there = file.metadata().map_err(context)?.len().saturating_sub(from);
        let most = usize::try_from(there).unwrap_or(usize::MAX).min(most);
        to.resize(start + most, 0);
        let mut end = start;
        while end < to.len() {
            match file.read_at(&mut to[end..], from) {
                Ok(0) => break,
                Ok(n) => (end, from) = (end + n, from + n as u64),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => {
                    to.truncate(start);
                    return Err(context(e));
                }
            }
        }
        to.truncate(end);
        Ok(())
    }

    fn list(&self, folder: &str) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.each(folder, |entry, kind| {
            if kind.is_file() {
                let meta = match entry.metadata() {
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()), // deleted meanwhile
                    other => other?,
                };
                let Ok(name) = entry.file_name().into_string() else { return Ok(()) };
                entries.push(Entry { name, bytes: meta.len(), created_ms: unix_ms(meta.modified()?) });
            }
            Ok(())
        })?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn folders(&self, folder: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        self.each(folder, |entry, kind| {
            if kind.is_dir() {
                names.extend(entry.file_name().into_string().ok().filter(|name| !name.starts_with('.')));
            }
            Ok(())
        })?;
        names.sort();
        Ok(names)
    }

    fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        match disk::remove(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("removing {}", path.display()), e))
            }
            Err(_) => self.is_there(),
            Ok(()) => Ok(()),
        }
    }
}

impl Folder {
    fn each(
        &self,
        folder: &str,
        mut each: impl FnMut(std::fs::DirEntry, std::fs::FileType) -> std::io::Result<()>,
    ) -> Result<()> {
        let path = if folder.is_empty() { self.root.clone() } else { self.path(folder)? };
        let context = |e| Error::io(format!("listing {}", path.display()), e);
        self.is_there()?;
        let entries = match std::fs::read_dir(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(context)?,
        };
        for entry in entries {
            let entry = entry.map_err(context)?;
            let kind = entry.file_type().map_err(context)?;
            each(entry, kind).map_err(context)?;
        }
        Ok(())
    }
}

/// A file that has not got its name.
struct Partial {
    file: Written,
    length: u64,
    /// A writer's own syncs would wait behind a whole segment's.
    write_back: WriteBack,
    path: PathBuf,
    target: PathBuf,
    named: bool,
}

impl Partial {
    fn name(mut self, replace: bool) -> Result<()> {
        let folder = self.target.parent().expect("a name in a folder").to_owned();
        let rename = || {
            if replace { disk::rename(&self.path, &self.target) } else { disk::rename_new(&self.path, &self.target) }
        };
        let renamed = match rename() {
            // Where what was written is gone too, the place itself went away: it is not made anew.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && self.path.exists() => {
                make(&folder)?;
                rename()
            }
            other => other,
        };
        if renamed.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::AlreadyExists) {
            // Perhaps given by a try of ours whose sync failed: who hears that it is there may count on it.
            sync(&folder)?;
        }
        renamed.map_err(|e| Error::io(self.target.display().to_string(), e))?;
        self.named = true;
        if planted!("segment_name_not_synced") { Ok(()) } else { sync(&folder) }
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        self.write_back.wrote(self.file.file(), self.length)?;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Upload for Partial {
    fn finish(self: Box<Self>, created_ms: i64) -> Result<()> {
        let at = match u64::try_from(created_ms) {
            Ok(ms) => UNIX_EPOCH + Duration::from_millis(ms),
            Err(_) => UNIX_EPOCH,
        };
        let sync = || if planted!("segment_not_synced") { Ok(()) } else { self.file.sync() };
        let done = self.file.set_modified(at).and_then(|()| sync());
        done.map_err(|e| Error::io(format!("writing {}", self.target.display()), e))?;
        self.name(planted!("name_given_twice"))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.named {
            // If it cannot be removed, a later sweep does.
            let _ = disk::remove(&self.path);
        }
    }
}

/// Makes a folder and those above it, durable.
fn make(folder: &Path) -> Result<()> {
    disk::make(folder).map_err(|e| Error::io(format!("making the folder {}", folder.display()), e))
}

fn sync(folder: &Path) -> Result<()> {
    disk::sync(folder).map_err(|e| Error::io(format!("syncing the folder {}", folder.display()), e))
}

fn unix_ms(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(_) => 0,
    }
}
