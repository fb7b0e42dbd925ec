//! The lock of a store: an flock on `<file>.lock`, held for the store's life.
//!
//! SQLite's own locks let many processes write in turn; a store needs to be the only one, since it keeps
//! snapshots and a sequence in memory. A second opener is told who holds the file.
//!
//! **Invariants**
//! - The lock file is never removed: a waiter could hold a lock on a name that is gone.
//! - The lock is released after all of the store's SQLite connections are closed: keep this value until then.
//! - It is released by word, not by closing alone: a process that another thread is starting has a copy of every descriptor
//!   until it becomes its own program, and would hold the lock of a closed store for so long.

use crate::error::{Error, Kind, Result};
use crate::place;
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How often a lock file may be replaced under our hands before we give up.
const REPLACED_MAX: u32 = 8;

/// The proof that this store alone uses a database file.
#[derive(Debug)]
pub(crate) struct FileLock {
    file: File,
}

impl FileLock {
    /// Takes the lock of a database file, or says who has it.
    pub(crate) fn acquire(db: &Path) -> Result<FileLock> {
        let path = place::beside(db, ".lock");
        for _ in 0..REPLACED_MAX {
            let mut file = open(&path)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(busy(db, &file)),
                Err(rustix::io::Errno::INTR) => continue,
                Err(e) => return Err(Error::io(format!("cannot lock {}", path.display()), e.into())),
            }
            if place::is_named(&file, &path) {
                leave_note(&mut file);
                return Ok(FileLock { file });
            }
        }
        Err(Error::new(Kind::Busy, format!("{} is being replaced by another program", path.display())))
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock); // else it goes with the last copy
    }
}

fn open(path: &PathBuf) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))
        .map_err(|e| Error::io(format!("cannot open {}", path.display()), e.into()))?;
    Ok(File::from(fd))
}

/// Writes who we are, for a reader who cannot see us in /proc (another container). Best effort.
fn leave_note(file: &mut File) {
    let note = format!("{} {}\n", std::process::id(), program(std::process::id()).unwrap_or_default());
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note.as_bytes()));
}

fn busy(db: &Path, file: &File) -> Error {
    let holder = match holder(file) {
        Some(pid) if pid == std::process::id() => {
            "another store of this process. Open a file once and share the handle (Store is cheap to clone)".to_owned()
        }
        Some(pid) => match program(pid) {
            Some(program) => format!("process {pid} ({program})"),
            None => format!("process {pid}"),
        },
        None => match note(file) {
            Some(note) => format!("a process that this one cannot see; it called itself {note}"),
            None => "another process".to_owned(),
        },
    };
    Error::new(Kind::Busy, format!("{} is in use by {holder}", db.display()))
}

/// The process that holds an flock on this file, from /proc/locks.
fn holder(file: &File) -> Option<u32> {
    let m = file.metadata().ok()?;
    let device = (rustix::fs::major(m.dev()), rustix::fs::minor(m.dev()));
    holder_in(&fs::read_to_string("/proc/locks").ok()?, m.ino(), device)
}

/// Lines read `1: FLOCK ADVISORY WRITE 1234 fe:00:5362855 0 EOF`. Some file systems (btrfs, overlayfs) show another
/// device there than `stat`, so the inode decides and the device only chooses between two that match.
fn holder_in(locks: &str, inode: u64, device: (u32, u32)) -> Option<u32> {
    let mut found = None;
    for line in locks.lines() {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (Some("FLOCK"), Some(_), Some(_), Some(pid), Some(file)) =
            (words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            continue; // also a waiter's line, which has `->` in front
        };
        let mut parts = file.split(':');
        let (Some(major), Some(minor), Some(number)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let Ok(pid) = pid.parse::<u32>() else { continue }; // -1: a process of another namespace
        if pid == 0 || number.parse() != Ok(inode) {
            continue;
        }
        let same = u32::from_str_radix(major, 16) == Ok(device.0) && u32::from_str_radix(minor, 16) == Ok(device.1);
        if same {
            return Some(pid);
        }
        found = found.or(Some(pid));
    }
    found
}

fn program(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned()).filter(|n| !n.is_empty())
}

fn note(mut file: &File) -> Option<String> {
    let mut text = String::new();
    io::Read::by_ref(&mut file).take(128).read_to_string(&mut text).ok()?;
    let note: String = text.trim().chars().filter(|c| !c.is_control()).collect();
    Some(note).filter(|n| !n.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    #[test]
    fn second_lock_in_this_process_is_refused_and_says_so() {
        let t = tempfile::tempdir().unwrap();
        let db = t.path().join("x.db");
        let first = FileLock::acquire(&db).unwrap();
        let e = FileLock::acquire(&db).unwrap_err();
        assert_eq!(e.kind(), Kind::Busy);
        assert!(e.to_string().contains("this process"), "{e}");
        drop(first);
        FileLock::acquire(&db).unwrap();
        let mode = fs::metadata(place::beside(&db, ".lock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!db.exists());
    }

    #[test]
    fn a_copy_in_a_process_that_is_being_started_does_not_keep_the_lock() {
        let t = tempfile::tempdir().unwrap();
        let db = t.path().join("x.db");
        let first = FileLock::acquire(&db).unwrap();
        let inherited = first.file.try_clone().unwrap();
        drop(first);
        FileLock::acquire(&db).expect("its store is closed");
        drop(inherited);
    }

    #[test]
    fn foreign_holder_is_named_by_pid_and_program() {
        let t = tempfile::tempdir().unwrap();
        let db = t.path().join("x.db");
        let script = r#"exec 9>>"$0"; flock -n 9 && echo held && read _"#;
        let mut child = Command::new("bash")
            .args(["-c", script])
            .arg(place::beside(&db, ".lock"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        let e = FileLock::acquire(&db).unwrap_err();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(e.kind(), Kind::Busy);
        // flock(1) took it and left; the kernel still names the process that called flock.
        assert!(e.to_string().contains("in use by process"), "{e}");
        FileLock::acquire(&db).unwrap();
    }

    #[test]
    fn lines_of_proc_locks_are_matched_by_inode_then_device() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 08:01:42 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 11 08:02:42 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 12 08:01:42 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 13 08:01:42 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE -1 08:01:43 0 EOF\n";
        assert_eq!(holder_in(locks, 42, (8, 1)), Some(13));
        assert_eq!(holder_in(locks, 42, (9, 9)), Some(11));
        assert_eq!(holder_in(locks, 43, (8, 1)), None);
        assert_eq!(holder_in("garbage\n\n1: FLOCK\n", 42, (8, 1)), None);
    }

    #[test]
    fn an_invisible_holder_is_described_by_its_note() {
        let t = tempfile::tempdir().unwrap();
        let db = t.path().join("x.db");
        let _held = FileLock::acquire(&db).unwrap();
        let other = File::open(place::beside(&db, ".lock")).unwrap();
        assert!(note(&other).unwrap().starts_with(&std::process::id().to_string()));
    }
}
