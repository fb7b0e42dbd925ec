//! Small files in a store's scratch folder: what this program has to remember over a crash.
//!
//! **Invariants**
//! - What has the name is whole: written beside, synced, renamed, and the folder synced.

use crate::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Writes a small file over the one that is there.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    let partial = folder.join(format!("{name}.partial"));
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, &path)?;
        File::open(folder)?.sync_all()
    });
    written.map_err(|e| Error::io(format!("writing {}", path.display()), e))
}

/// The text of a small file; `None` where there is none that can be read.
pub(crate) fn read(folder: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(folder.join(name)).ok()
}
