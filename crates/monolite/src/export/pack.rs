//! Writing an export.
//!
//! **Invariants**
//! - The manifest is the first member, so that a reader knows what has to come.
//! - Written beside as `<name>.partial`, synced, then named without replacing.

use super::pace::Pace;
use super::{MANIFEST, Manifest};
use crate::folder::ServiceFile;
use crate::verb::Usage;
use anyhow::Context as _;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
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

/// Packs the files of a folder, as the manifest names them, into one file; `rate` bytes a second at most, 0 for all it can.
/// Answers its bytes.
pub(crate) fn pack(
    manifest: &Manifest,
    folder: &Path,
    out: &Path,
    rate: u64,
    told: &mut dyn FnMut(u64),
) -> crate::Result<u64> {
    refuse_existing(out)?;
    let partial = Partial::begin(out)?;
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
    partial.finish(out)
}

fn append(to: &mut Builder<impl Write>, name: &str, bytes: u64, at_ms: i64, source: impl Read) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(at_ms / 1000).unwrap_or(0));
    to.append_data(&mut header, name, source)
}

/// The file before it has its name; gone when it is dropped.
struct Partial {
    file: File,
    path: PathBuf,
    done: bool,
}

impl Partial {
    fn begin(out: &Path) -> crate::Result<Partial> {
        let mut path = out.to_owned().into_os_string();
        path.push(".partial");
        let path = PathBuf::from(path);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Partial { file, path, done: false })
    }

    fn finish(mut self, out: &Path) -> crate::Result<u64> {
        self.file.sync_all().with_context(|| format!("cannot sync {}", self.path.display()))?;
        let bytes = self.file.metadata()?.len();
        let named = monolite_store::maintain::rename_new(&self.path, out);
        named.with_context(|| format!("cannot give the export its name {}", out.display()))?;
        self.done = true;
        let folder = out.parent().context("an absolute path to a file has a folder")?;
        File::open(folder).and_then(|folder| folder.sync_all())?;
        Ok(bytes)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
