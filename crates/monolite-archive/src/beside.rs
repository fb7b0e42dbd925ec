//! Small files in a store's scratch folder: what this program has to remember over a crash.
//!
//! **Invariants**
//! - What has the name is whole: written beside, synced, renamed, and the folder synced.

use crate::disk;
use crate::{Error, Result};
use std::path::Path;

/// Writes a small file over the one that is there.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    let partial = folder.join(format!("{name}.partial"));
    let written = disk::write_whole(&path, &partial, bytes);
    written.map_err(|e| Error::io(format!("writing {}", path.display()), e))
}

/// The text of a small file; `None` where there is none that can be read.
pub(crate) fn read(folder: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(folder.join(name)).ok()
}
