//! Reading an export back into a folder.
//!
//! **Invariants**
//! - Only what the manifest names is written, under names made here, each no longer than it says.
//! - The folder has its name after everything was compared, checked by SQLite, and synced.

use super::{FORMAT, MANIFEST, MANIFEST_BYTES_MAX, Manifest, Member, PIECE, hex};
use crate::folder::{Owner, Reader, ServiceFile, known};
use crate::verb::Usage;
use anyhow::{Context as _, bail, ensure};
use monolite_store::maintain;
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tar::{Archive, Entry, EntryType};

/// What lies in a folder that an import made and has not finished.
const UNFINISHED: &str = "import-unfinished";

/// Puts all files of an export into a folder that is not there or empty. `told` hears bytes done and bytes in all.
pub(crate) fn unpack(from: &Path, into: &Path, told: &mut dyn FnMut(u64, u64)) -> crate::Result<Manifest> {
    refuse_what_is_there(into)?;
    let cannot = || format!("cannot read {}", from.display());
    let file = File::open(from).with_context(cannot)?;
    let partial = Partial::begin(into)?;
    let manifest = read(file, &partial.path, told).with_context(|| format!("{} was not imported", from.display()))?;
    for member in &manifest.files {
        let checked = check(&partial.path, member);
        checked.with_context(|| format!("{} was not imported: {}", from.display(), member.name()))?;
    }
    partial.finish(into)?;
    Ok(manifest)
}

fn read(file: File, into: &Path, told: &mut dyn FnMut(u64, u64)) -> crate::Result<Manifest> {
    let zstd = zstd::Decoder::with_buffer(BufReader::with_capacity(PIECE, file))?;
    let mut tar = Archive::new(zstd.single_frame());
    let mut entries = tar.entries()?;
    let first = entries.next().context("it is empty")?.context("it is no export, or is cut off at its beginning")?;
    let manifest = manifest_of(first)?;
    let (mut done, whole) = (0, manifest.bytes());
    for member in &manifest.files {
        let name = member.name();
        let entry = entries.next().with_context(|| format!("it ends before {name}"))?;
        let entry = entry.with_context(|| format!("it is damaged or cut off before {name}"))?;
        expect(&entry, &name, member.bytes)?;
        let mut step = |n| {
            done += n;
            told(done, whole);
        };
        write(entry, into, member, &mut step).with_context(|| name)?;
    }
    match entries.next() {
        None => {}
        Some(Ok(entry)) => bail!("it has {} besides what its manifest names", entry.path()?.display()),
        Some(Err(e)) => return Err(e).context("it is damaged or cut off behind its last file"),
    }
    // To the end of the frame, where zstd compares its own checksum; nothing may follow.
    let mut zstd = tar.into_inner();
    std::io::copy(&mut zstd, &mut std::io::sink()).context("it is damaged or cut off at its end")?;
    let mut rest = zstd.finish();
    ensure!(rest.read(&mut [0])? == 0, "something follows its end");
    Ok(manifest)
}

fn manifest_of(entry: Entry<'_, impl Read>) -> crate::Result<Manifest> {
    ensure!(entry.path()? == Path::new(MANIFEST), "its first member is not {MANIFEST}: it is no export");
    ensure!(entry.size() <= MANIFEST_BYTES_MAX, "its manifest is too long");
    let mut text = Vec::new();
    entry.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).context("it is cut off within its manifest")?;
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let Version { format } = serde_json::from_slice(&text).context("its manifest cannot be read")?;
    ensure!(format == FORMAT, "it is of format {format}; this program reads {FORMAT}");
    let manifest: Manifest = serde_json::from_slice(&text).context("its manifest cannot be read")?;
    let mut names: Vec<&str> = manifest.files.iter().map(|file| file.service.as_str()).collect();
    let is_plain = |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    ensure!(!names.is_empty() && names.iter().all(is_plain), "its manifest names no services, or odd ones");
    names.sort_unstable();
    ensure!(names.windows(2).all(|two| two[0] != two[1]), "its manifest names a service twice");
    Ok(manifest)
}

fn expect(entry: &Entry<'_, impl Read>, name: &str, bytes: u64) -> crate::Result {
    let path = entry.path()?;
    ensure!(path == Path::new(name), "{} is there instead of {name}", path.display());
    ensure!(entry.header().entry_type() == EntryType::Regular, "{name} is no file");
    ensure!(entry.size() == bytes, "{name} has {} bytes, not {bytes}", entry.size());
    Ok(())
}

fn write(mut entry: Entry<'_, impl Read>, into: &Path, member: &Member, told: &mut dyn FnMut(u64)) -> crate::Result {
    let path = ServiceFile::of(into, &member.service).path;
    DirBuilder::new().mode(0o700).create(path.parent().context("a service's file has a folder")?)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let (mut sum, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        let n = entry.read(&mut piece).context("it is damaged or cut off here")?;
        if n == 0 {
            break;
        }
        sum.update(&piece[..n]);
        file.write_all(&piece[..n])?;
        bytes += n as u64;
        told(n as u64);
    }
    ensure!(bytes == member.bytes, "it is cut off here, at byte {bytes} of {}", member.bytes);
    ensure!(hex(sum) == member.sha256, "its bytes are not those that were exported: the SHA-256 differs");
    file.sync_all()?;
    File::open(path.parent().context("a service's file has a folder")?)?.sync_all()?;
    Ok(())
}

fn check(folder: &Path, member: &Member) -> crate::Result {
    let path = ServiceFile::of(folder, &member.service).path;
    let (sequence, history) = known(&path)?;
    let same = (sequence, &history) == (member.sequence, &member.history);
    ensure!(same, "the file is at commit {sequence} of {history}, not at {} of {}", member.sequence, member.history);
    let found = maintain::check(Reader::open(&path, Owner::Nobody)?.connection())?;
    ensure!(found.problems.is_empty(), "SQLite says: {}", found.problems.join("; "));
    for suffix in ["-wal", "-shm"] {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        let _ = std::fs::remove_file(name); // what reading left, and empty
    }
    Ok(())
}

fn refuse_what_is_there(into: &Path) -> crate::Result {
    match std::fs::read_dir(into).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Usage(format!("{} is not empty; an import goes into an empty folder", into.display())).into()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).with_context(|| format!("cannot look at {}", into.display())),
    }
}

/// The folder before it has its name; gone when it is dropped.
struct Partial {
    path: PathBuf,
    done: bool,
}

impl Partial {
    fn begin(into: &Path) -> crate::Result<Partial> {
        let mut path = into.to_owned().into_os_string();
        path.push(".partial");
        let path = PathBuf::from(path);
        if path.join(UNFINISHED).exists() {
            std::fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("cannot create {}", path.display()))?;
        File::create(path.join(UNFINISHED))?;
        Ok(Partial { path, done: false })
    }

    /// A folder may take the place of an empty one in one step.
    fn finish(mut self, into: &Path) -> crate::Result {
        std::fs::remove_file(self.path.join(UNFINISHED))?;
        File::open(&self.path)?.sync_all()?;
        std::fs::rename(&self.path, into)
            .with_context(|| format!("cannot give the folder its name {}", into.display()))?;
        self.done = true;
        let folder = into.parent().context("an absolute path has a folder")?;
        File::open(folder)?.sync_all()?;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
