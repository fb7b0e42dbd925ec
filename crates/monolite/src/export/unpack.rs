//! Reading an export back into a folder.
//!
//! **Invariants**
//! - Only what the manifest names is written, under names made here, each no longer than it says.
//! - Memory is a few MiB, whatever the file says.
//! - The folder has its name after everything was compared, checked by SQLite, and synced.

use super::{FORMAT, MANIFEST, MANIFEST_BYTES_MAX, Manifest, Member, PIECE, hex};
use crate::folder::{Owner, Reader, ServiceFile, known};
use crate::verb::Usage;
use anyhow::{Context as _, bail, ensure};
use monolite_store::maintain;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tar::{Archive, Entries, Entry, EntryType};

/// The longest name of a member.
const NAME_BYTES_MAX: u64 = 4096;

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
    let mut entries = tar.entries()?.raw(true);
    let first = next(&mut entries).context("it is no export, or is cut off at its beginning")?;
    let manifest = manifest_of(first.context("it is empty")?)?;
    let (mut done, whole) = (0, manifest.bytes());
    for member in &manifest.files {
        let name = member.name();
        let entry = next(&mut entries).with_context(|| format!("it is damaged or cut off before {name}"))?;
        let (path, entry) = entry.with_context(|| format!("it ends before {name}"))?;
        expect(&path, &entry, &name, member.bytes)?;
        let mut step = |n| {
            done += n;
            told(done, whole);
        };
        write(entry, into, member, &mut step).with_context(|| name)?;
    }
    if let Some((path, _)) = next(&mut entries).context("it is damaged or cut off behind its last file")? {
        bail!("it has {} besides what its manifest names", path.display());
    }
    // To the end of the frame, where zstd compares its own checksum; nothing may follow.
    let mut zstd = tar.into_inner();
    std::io::copy(&mut zstd, &mut std::io::sink()).context("it is damaged or cut off at its end")?;
    let mut rest = zstd.finish();
    ensure!(rest.read(&mut [0])? == 0, "something follows its end");
    Ok(manifest)
}

/// The next member and its name. A long name comes as a member of its own, which the library would read whole, whatever its
/// length; other members that say more of the next one are not in our format.
fn next<'a, R: Read>(entries: &mut Entries<'a, R>) -> std::io::Result<Option<(PathBuf, Entry<'a, R>)>> {
    let Some(entry) = entries.next().transpose()? else { return Ok(None) };
    if !entry.header().entry_type().is_gnu_longname() {
        let path = entry.path()?.into_owned();
        return Ok(Some((path, entry)));
    }
    if entry.size() > NAME_BYTES_MAX {
        return Err(std::io::Error::other(format!("a name of {} bytes is no name", entry.size())));
    }
    let mut name = Vec::new();
    entry.take(NAME_BYTES_MAX).read_to_end(&mut name)?;
    while name.last() == Some(&0) {
        name.pop();
    }
    let entry = entries.next().transpose()?;
    Ok(entry.map(|entry| (PathBuf::from(OsString::from_vec(name)), entry)))
}

fn manifest_of((path, entry): (PathBuf, Entry<'_, impl Read>)) -> crate::Result<Manifest> {
    let is_file = entry.header().entry_type() == EntryType::Regular;
    ensure!(path == Path::new(MANIFEST) && is_file, "its first member is not {MANIFEST}: it is no export");
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

fn expect(path: &Path, entry: &Entry<'_, impl Read>, name: &str, bytes: u64) -> crate::Result {
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

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, Header};

    fn packed(members: &[(EntryType, &str, u64, &[u8])]) -> Vec<u8> {
        let mut tar = Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
        for (kind, name, says, bytes) in members {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_path(name).unwrap();
            header.set_size(*says);
            header.set_cksum();
            tar.append(&header, *bytes).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn refusal(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (from, into) = (folder.path().join("bad.tar.zst"), folder.path().join("into"));
        std::fs::write(&from, bytes).unwrap();
        let refused = unpack(&from, &into, &mut |_, _| {}).unwrap_err();
        assert!(!into.exists());
        format!("{refused:#}")
    }

    #[test]
    fn what_the_file_says_is_long_is_not_read_into_memory() {
        let long = refusal(&packed(&[(EntryType::GNULongName, "././@LongLink", 1 << 40, b"a")]));
        assert!(long.contains("is no name"), "{long}");
        for kind in [EntryType::XHeader, EntryType::XGlobalHeader, EntryType::GNULongLink] {
            let told = refusal(&packed(&[(kind, "x", 1 << 40, b"a")]));
            assert!(told.contains("its first member is not monolite.json"), "{told}");
        }
        let link = refusal(&packed(&[(EntryType::Symlink, MANIFEST, 0, b"")]));
        assert!(link.contains("it is no export"), "{link}");
    }

    #[test]
    fn a_long_name_is_the_next_members() {
        let name = format!("{0}/{0}.db", "S".repeat(60));
        let mut tar = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(1);
        tar.append_data(&mut header, &name, &b"x"[..]).unwrap();
        let bytes = tar.into_inner().unwrap();
        let mut tar = Archive::new(&bytes[..]);
        let mut entries = tar.entries().unwrap().raw(true);
        let (path, entry) = next(&mut entries).unwrap().unwrap();
        assert_eq!((path.to_str().unwrap(), entry.size()), (&name[..], 1));
        assert!(next(&mut entries).unwrap().is_none());
    }
}
