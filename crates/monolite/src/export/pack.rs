//! Writing an export.
//!
//! **Invariants**
//! - The manifest is the first member, so that a reader knows what has to come.
//! - Written beside as `<name>.partial` and synced; whoever has it named does so without replacing.

use super::beside::Partial;
use super::pace::Pace;
use super::{MANIFEST, Manifest};
use crate::folder::ServiceFile;
use crate::verb::Usage;
use anyhow::Context as _;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// zstd's usual level.
const LEVEL: i32 = 3;
/// Bytes written at a time.
const WRITE_BYTES: usize = 1 << 20;

/// Refuses to write over a file, before anything is done.
pub(crate) fn refuse_existing(out: &Path) -> crate::Result {
    if out.symlink_metadata().is_ok() {
        let text = format!("{} is there already; nothing is written over: choose another name", out.display());
        return Err(Usage(text).into());
    }
    Ok(())
}

/// Packs the files of a folder, as the manifest names them, into one file, and syncs it; `rate` bytes a second at most, 0 for all
/// it can.
pub(crate) fn pack(
    manifest: &Manifest,
    folder: &Path,
    partial: &Partial,
    rate: u64,
    told: &mut dyn FnMut(u64),
) -> crate::Result<()> {
    let cannot = || format!("cannot write {}", partial.path.display());
    let mut zstd = zstd::Encoder::new(BufWriter::with_capacity(WRITE_BYTES, &partial.file), LEVEL)?;
    zstd.include_checksum(true)?;
    let mut tar = Builder::new(zstd);
    let text = serde_json::to_vec_pretty(manifest)?;
    append(&mut tar, MANIFEST, text.len() as u64, manifest.at_ms, &text[..]).with_context(cannot)?;
    let mut pace = Pace::new(rate, told);
    for member in &manifest.files {
        let path = ServiceFile::of(folder, &member.service).path;
        let source = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let source = pace.of(source.take(member.bytes));
        append(&mut tar, &member.name(), member.bytes, manifest.at_ms, source).with_context(cannot)?;
    }
    let zstd = tar.into_inner().with_context(cannot)?;
    zstd.finish().and_then(|mut file| file.flush()).with_context(cannot)?;
    partial.file.sync_all().with_context(|| format!("cannot sync {}", partial.path.display()))
}

fn append(to: &mut Builder<impl Write>, name: &str, bytes: u64, at_ms: i64, source: impl Read) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(at_ms / 1000).unwrap_or(0));
    to.append_data(&mut header, name, source)
}
