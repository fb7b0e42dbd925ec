//! Where a store's files may lie: the folder, the file system, the names beside the database file.
//!
//! **Invariants**
//! - Nothing here opens the database file, its `-shm` or its `-wal`: closing any handle of the first two would
//!   drop the locks that SQLite holds on them in this process. Looking is done by `lstat` and `statfs`.
//! - A place that cannot keep the promises is refused with its reason before any file is made.

use crate::error::{Error, Kind, Result};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Creates the folder of a database file (0700, with its parents) and refuses places that cannot keep a store.
///
/// A folder that is already there keeps its mode: it may be the caller's own.
pub(crate) fn prepare_folder(db: &Path) -> Result<()> {
    if db.file_name().is_none() {
        return Err(Error::new(Kind::Invalid, format!("{} names no file", db.display())));
    }
    let folder = folder_of(db);
    create(folder)?;
    refuse_file_system(folder)?;
    for suffix in ["", "-wal", "-shm", "-journal", ".lock", ".mark"] {
        refuse_odd_file(&beside(db, suffix))?;
    }
    Ok(())
}

/// The folder that holds a file; `.` for a bare name.
pub(crate) fn folder_of(db: &Path) -> &Path {
    match db.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// The name of a file beside the database file: `Users.db` and `-wal` make `Users.db-wal`.
pub(crate) fn beside(db: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(db.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

/// Which file lies under a name: its device and number.
pub(crate) fn inode(path: &Path) -> Result<Option<(u64, u64)>> {
    Ok(under(path)?.map(|m| (m.dev(), m.ino())))
}

/// What lies under a name. That there is nothing is known only where the system says so: a folder without rights, a disk
/// that does not answer, a lack of memory say nothing of the file.
pub(crate) fn under(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(Error::io(format!("cannot look at {}", path.display()), e)),
    }
}

/// When a database was last written, it or its WAL, as the system says.
pub(crate) fn written(db: &Path) -> Option<SystemTime> {
    let at = |path: &Path| fs::symlink_metadata(path).and_then(|m| m.modified()).ok();
    at(db).max(at(&beside(db, "-wal")))
}

/// Whether an open file is still the one that a newcomer would open by this name.
pub fn is_named(file: &File, path: &Path) -> bool {
    match (file.metadata(), inode(path)) {
        (Ok(m), Ok(there)) => there == Some((m.dev(), m.ino())),
        _ => false,
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    let sync = || File::open(folder)?.sync_all();
    sync().map_err(|e| Error::io(format!("cannot sync the folder {}", folder.display()), e))
}

/// Gives a file another name that nothing has, in one step. A file system that cannot do that gets a second link, which is
/// as atomic, and the first goes.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] where something has the name.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

fn create(folder: &Path) -> Result<()> {
    match fs::metadata(folder) {
        Ok(m) if m.is_dir() => return Ok(()),
        Ok(_) => return Err(Error::new(Kind::Io, format!("{} is not a folder", folder.display()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::io(format!("cannot look at the folder {}", folder.display()), e)),
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| Error::io(format!("cannot create the folder {}", folder.display()), e))?;
    match folder.parent() {
        Some(p) if !p.as_os_str().is_empty() => sync_folder(p),
        _ => Ok(()),
    }
}

fn refuse_file_system(folder: &Path) -> Result<()> {
    let at =
        |e: rustix::io::Errno| Error::io(format!("cannot ask for the file system of {}", folder.display()), e.into());
    // The magic numbers are 32 bits wide; the field's type differs between architectures.
    let magic = rustix::fs::statfs(folder).map_err(at)?.f_type as u32;
    if let Some(name) = network(magic) {
        return Err(Error::new(
            Kind::Unsupported,
            format!(
                "{} is on {name}: SQLite's WAL needs memory shared between processes and fsync that reaches the disk, \
                 which network file systems do not give. Put the data on a local disk",
                folder.display()
            ),
        ));
    }
    let flags = rustix::fs::statvfs(folder).map_err(at)?.f_flag;
    if flags.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return Err(Error::io(
            format!("the file system of {} is mounted read-only", folder.display()),
            io::Error::from(io::ErrorKind::ReadOnlyFilesystem),
        ));
    }
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .map_err(|e| Error::io(format!("the folder {} cannot be written", folder.display()), e.into()))
}

/// The name of a network file system by its magic number (linux/magic.h and the file systems' own sources).
fn network(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x0000_6969 => "NFS",
        0x0000_517b => "SMB",
        0xff53_4d42 => "CIFS",
        0xfe53_4d42 => "SMB2",
        0x0102_1997 => "9p",
        0x5346_414f => "AFS",
        0x6b41_4653 => "AFS (kafs)",
        0x00c3_6400 => "Ceph",
        0x7375_7245 => "Coda",
        0x0000_564c => "NCP",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x1983_0326 => "FhGFS/BeeGFS",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        0x5346_4846 | 0x786f_4256 => "a folder shared from the host (VirtualBox, WSL)",
        _ => return None,
    })
}

fn refuse_odd_file(path: &Path) -> Result<()> {
    let m = match fs::symlink_metadata(path) {
        Ok(m) => m,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(format!("cannot look at {}", path.display()), e)),
    };
    let odd = if m.is_symlink() {
        "is a symbolic link: its WAL would lie beside the link, not beside the file. Give the file's own path"
    } else if !m.is_file() {
        "is not an ordinary file"
    } else if m.nlink() > 1 {
        "has more than one name (hard link): a program that used the other name would not see its WAL. Remove one name"
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Unsupported, format!("{} {odd}", path.display())))
}

/// Whether a folder's file system has less room than a file's first wal-index and WAL need.
pub(crate) fn has_no_room(folder: &Path) -> bool {
    const NEEDED: u64 = 64 << 10;
    rustix::fs::statvfs(folder).is_ok_and(|found| found.f_bavail * found.f_frsize < NEEDED)
}

/// A path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_name_that_is_taken_is_not_taken_away() {
        let t = tempfile::tempdir().unwrap();
        let [new, old, free] = ["new", "old", "free"].map(|name| t.path().join(name));
        fs::write(&new, "new").unwrap();
        fs::write(&old, "old").unwrap();
        assert_eq!(rename_new(&new, &old).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&new).unwrap(), fs::read(&old).unwrap()), (b"new".to_vec(), b"old".to_vec()));
        rename_new(&new, &free).unwrap();
        assert_eq!((new.exists(), fs::read(&free).unwrap()), (false, b"new".to_vec()));
    }

    #[test]
    fn folder_is_created_for_its_owner_alone() {
        let t = tempfile::tempdir().unwrap();
        let db = t.path().join("data/Users/Users.db");
        prepare_folder(&db).unwrap();
        for folder in ["data", "data/Users"] {
            let mode = fs::metadata(t.path().join(folder)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{folder}");
        }
        assert!(!db.exists());
        prepare_folder(&db).unwrap();
    }

    #[test]
    fn symbolic_and_hard_links_are_refused() {
        let t = tempfile::tempdir().unwrap();
        let real = t.path().join("real.db");
        fs::write(&real, b"").unwrap();
        symlink(&real, t.path().join("link.db")).unwrap();
        let e = prepare_folder(&t.path().join("link.db")).unwrap_err();
        assert_eq!(e.kind(), Kind::Unsupported);
        assert!(e.to_string().contains("symbolic link"), "{e}");
        prepare_folder(&real).unwrap();
        fs::hard_link(&real, t.path().join("other.db")).unwrap();
        assert_eq!(prepare_folder(&real).unwrap_err().kind(), Kind::Unsupported);
    }

    #[test]
    fn a_folder_that_is_a_file_and_a_file_that_is_a_folder_are_refused() {
        let t = tempfile::tempdir().unwrap();
        fs::write(t.path().join("file"), b"").unwrap();
        assert_eq!(prepare_folder(&t.path().join("file/x.db")).unwrap_err().kind(), Kind::Io);
        fs::create_dir(t.path().join("x.db")).unwrap();
        assert_eq!(prepare_folder(&t.path().join("x.db")).unwrap_err().kind(), Kind::Unsupported);
        assert_eq!(prepare_folder(Path::new("/")).unwrap_err().kind(), Kind::Invalid);
    }

    #[test]
    fn network_file_systems_are_known_by_their_numbers_and_local_ones_pass() {
        for (magic, name) in [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0x0102_1997, "9p"), (0x00c3_6400, "Ceph")] {
            assert_eq!(network(magic), Some(name));
        }
        // ext4, xfs, btrfs, tmpfs, overlayfs, zfs
        for magic in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1] {
            assert_eq!(network(magic), None);
        }
    }

    #[test]
    fn proc_is_a_place_without_room_for_a_store() {
        let e = prepare_folder(Path::new("/proc/monolite/x.db")).unwrap_err();
        assert_eq!(e.kind(), Kind::Io, "{e}");
    }
}
