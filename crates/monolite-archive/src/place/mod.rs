//! Where an archive lies: few words that a folder and a bucket both have.
//!
//! **Invariants**
//! - What has a name is whole and durable; [`Place::create`] gives a name only where there is none, in one step.
//! - Reads are ranges, so that a broken connection costs one range, and no file stays open in between.
//!
//! Never here: what the bytes mean.

#[cfg(feature = "s3")]
mod bucket;
mod folder;
mod reader;
#[cfg(feature = "seal")]
mod sealed;
pub mod testing;

#[cfg(feature = "s3")]
pub use bucket::{Bucket, BucketConfig};
pub use folder::Folder;
pub use reader::Reader;
#[cfg(feature = "seal")]
pub use sealed::{Key, Sealed};

use crate::layout::Layout;
use crate::{Error, Kind, Result};
use std::fmt;
use std::io::Write;

/// Something in a place's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The moment that was given when it was put, in unix milliseconds. In a bucket it is when it was put.
    pub created_ms: i64,
}

/// A place for archives. Names are relative, with `/` between their parts.
pub trait Place: Send + Sync + fmt::Debug {
    /// What it is, for people.
    fn describe(&self) -> String;

    /// How segments are named in it.
    fn layout(&self) -> Layout;

    /// Begins something new: written in pieces, and there as a whole after [`Upload::finish`], or not at all.
    fn create(&self, name: &str) -> Result<Box<dyn Upload>>;

    /// Puts small bytes, over what was there.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()>;

    /// Appends to `to` what lies at `from`, at most `most` bytes, fewer only at the end.
    fn read(&self, name: &str, from: u64, most: usize, to: &mut Vec<u8>) -> Result<()>;

    /// The files directly in a folder, sorted by name; none where there is no such folder.
    fn list(&self, folder: &str) -> Result<Vec<Entry>>;

    /// The folders directly in a folder, sorted.
    fn folders(&self, folder: &str) -> Result<Vec<String>>;

    /// Removes something. Nothing there is no error.
    fn delete(&self, name: &str) -> Result<()>;

    /// Puts bytes where nothing was, durable, with the moment that the place keeps beside them.
    fn put_new(&self, name: &str, bytes: &[u8], created_ms: i64) -> Result<()> {
        let mut upload = self.create(name)?;
        upload.write_all(bytes).map_err(|e| Error::io(format!("writing {name}"), e))?;
        upload.finish(created_ms)
    }

    /// All bytes of something small; `None` where there is nothing.
    fn read_small(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        match self.read(name, 0, SMALL_MAX + 1, &mut bytes) {
            Ok(()) if bytes.starts_with(&SEALED) => {
                let text = format!(
                    "{name} in {} is sealed: archive.key_file has to name the file with its key",
                    self.describe()
                );
                Err(Error::new(Kind::Denied, text))
            }
            Ok(()) if bytes.len() <= SMALL_MAX => Ok(Some(bytes)),
            Ok(()) => Err(Error::damaged(format!("{name} has more than {SMALL_MAX} bytes"))),
            Err(e) if e.kind() == Kind::Missing => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// What everything that is sealed begins with; nothing of ours that is small and plain does.
pub(crate) const SEALED: [u8; 8] = *b"MLSEAL1\0";

/// The most that [`Place::read_small`] reads: manifests, claims, cuts.
pub const SMALL_MAX: usize = 1 << 20;

/// Something that is being put. Dropped before the end, it leaves nothing under its name.
pub trait Upload: Write + Send {
    /// Makes it durable and gives it its name; [`Kind::Exists`] where that is taken.
    fn finish(self: Box<Self>, created_ms: i64) -> Result<()>;
}

/// Names come from our own code, but the service's name is the operator's.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let sound = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\0', '\\']);
    if name.split('/').all(sound) { Ok(()) } else { Err(Error::invalid(format!("{name:?} is no name in a place"))) }
}
