//! The first page's header: is this a database, and one that this program may open?
//!
//! SQLite reports a damaged header late and as "file is not a database"; here the reason and what to do next are
//! said before SQLite opens the file.
//!
//! **Invariants**
//! - The database file is opened and closed only here, only under the store's lock, and only before this process's
//!   first SQLite connection to it: closing any handle of a file drops all POSIX locks the process holds on it.
//! - A new file is created 0600 and its name is durable before SQLite writes to it.

use crate::error::{Error, Kind, Result};
use crate::lock::FileLock;
use crate::place;
use crate::planted::planted;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What lies at a store's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Missing,
    /// An empty file.
    New,
    /// A database.
    Existing(Header),
    /// A database whose first page is in its WAL or its rollback journal.
    Beside,
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of a page.
    pub(crate) page_size: u32,
    /// Bytes at the end of each page that SQLite leaves alone.
    pub(crate) reserved: u8,
    /// Whole pages in the file; the WAL may hold more.
    pub(crate) pages: u64,
    /// Whether the file is in WAL mode.
    pub(crate) wal: bool,
}

const LEN: usize = 100;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Reads the header of the file at `db`. Call before SQLite opens it.
pub(crate) fn inspect(db: &Path, _held: &FileLock) -> Result<Found> {
    let io = |what: &str, e: std::io::Error| Error::io(format!("cannot {what} {}", db.display()), e);
    let file = match rustix::fs::open(db, FLAGS, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::NOENT) => return Ok(Found::Missing),
        Err(e) => return Err(io("open", e.into())),
    };
    let length = file.metadata().map_err(|e| io("look at", e))?.len();
    if length == 0 {
        return Ok(Found::New);
    }
    let mut bytes = [0u8; LEN];
    let read = length.min(LEN as u64) as usize;
    file.read_exact_at(&mut bytes[..read], 0).map_err(|e| io("read", e))?;
    drop(file);
    let journal = pages_before(&place::beside(db, "-journal"));
    if journal == Some(0) {
        return Ok(Found::New); // a crash while the file was being made: SQLite empties it when it opens it
    }
    let wal_bytes = std::fs::symlink_metadata(place::beside(db, "-wal")).map_or(0, |m| m.len());
    match parse(&bytes[..read], length, wal_bytes) {
        Ok(header) => Ok(Found::Existing(header)),
        Err(e) if e.kind() == Kind::Corrupt && journal.is_some() => Ok(Found::Beside),
        Err(e) => Err(e.within(format!("{}", db.display()))),
    }
}

const FLAGS: OFlags = OFlags::RDWR.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Makes an empty file where there is none.
pub(crate) fn create(db: &Path, _held: &FileLock) -> Result<()> {
    let fd = rustix::fs::open(db, FLAGS | OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(0o600))
        .map_err(|e| Error::io(format!("cannot create {}", db.display()), e.into()))?;
    drop(fd);
    place::sync_folder(place::folder_of(db))
}

/// Pages that the file had before the change that a rollback journal beside it would undo; SQLite does so when it opens
/// the file. ("Rollback journal format": magic, count, nonce, pages before.)
fn pages_before(journal: &Path) -> Option<u32> {
    const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    let mut head = [0u8; 20];
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if planted!("half_made_file_refused") {
        return None;
    }
    let file = File::from(rustix::fs::open(journal, flags, Mode::empty()).ok()?);
    file.read_exact_at(&mut head, 0).ok()?;
    (head[..8] == MAGIC).then(|| u32::from_be_bytes([head[16], head[17], head[18], head[19]]))
}

fn parse(bytes: &[u8], length: u64, wal_bytes: u64) -> Result<Header> {
    let corrupt = |why: String| {
        Error::new(
            Kind::Corrupt,
            format!("{why}. Nothing was changed; restore the file from a copy, or give another path"),
        )
    };
    let magic = &bytes[..bytes.len().min(MAGIC.len())];
    if magic != MAGIC {
        return Err(corrupt(format!("not a SQLite database: it begins with {:?}", String::from_utf8_lossy(magic))));
    }
    if bytes.len() < LEN {
        return Err(corrupt(format!("cut short to {length} bytes, less than a database's header")));
    }
    let page_size = match u16::from_be_bytes([bytes[16], bytes[17]]) {
        1 => 65536,
        n => u32::from(n),
    };
    if !(512..=65536).contains(&page_size) || !page_size.is_power_of_two() {
        return Err(corrupt(format!("damaged header: a page size of {page_size}")));
    }
    let (write, read, reserved) = (bytes[18], bytes[19], bytes[20]);
    if page_size - u32::from(reserved) < 480 || bytes[21..24] != [64, 32, 32] {
        return Err(corrupt("damaged header: impossible fixed fields".to_owned()));
    }
    if read > 2 || write > 2 {
        return Err(Error::new(
            Kind::Unsupported,
            format!("file format {read}/{write} is newer than the SQLite of this program knows"),
        ));
    }
    let pages = length / u64::from(page_size);
    let u32_at = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (promised, known) = (u64::from(u32_at(28)), u32_at(24) == u32_at(92));
    // With a WAL the missing pages may be in it: a crash in a checkpoint leaves the file so.
    if wal_bytes == 0 && known && promised > pages {
        return Err(corrupt(format!("cut short: {pages} pages of {promised}, and no WAL that could hold the rest")));
    }
    if wal_bytes == 0 && pages == 0 {
        return Err(corrupt("cut short to less than a page".to_owned()));
    }
    Ok(Header { page_size, reserved, pages, wal: read == 2 && write == 2 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn check(edit: impl FnOnce(&mut Vec<u8>)) -> Result<Found> {
        let t = tempfile::tempdir().unwrap();
        let db = t.path().join("x.db");
        let c = Connection::open(&db).unwrap();
        c.execute_batch("CREATE TABLE t(v); INSERT INTO t VALUES(zeroblob(100000));").unwrap();
        drop(c);
        let mut bytes = fs::read(&db).unwrap();
        edit(&mut bytes);
        fs::write(&db, bytes).unwrap();
        inspect(&db, &FileLock::acquire(&db).unwrap())
    }

    fn refused(edit: impl FnOnce(&mut Vec<u8>), words: &str) {
        let e = check(edit).unwrap_err();
        assert_eq!(e.kind(), Kind::Corrupt, "{e}");
        assert!(e.to_string().contains(words), "{e}");
    }

    #[test]
    fn sound_file_passes_with_its_shape() {
        let Found::Existing(h) = check(|_| {}).unwrap() else { panic!() };
        assert_eq!((h.page_size, h.reserved, h.wal), (4096, 0, false));
        assert!(h.pages > 24);
    }

    #[test]
    fn damaged_headers_are_refused_with_the_reason() {
        refused(|b| b[3] ^= 1, "not a SQLite database");
        refused(|b| *b = b"{\"json\": true}".to_vec(), "not a SQLite database");
        refused(|b| b.truncate(60), "cut short to 60 bytes");
        refused(|b| b[16] = 3, "page size");
        refused(|b| b[22] = 0, "fixed fields");
        refused(|b| b.truncate(4096 * 3), "3 pages of");
        assert_eq!(check(|b| b[19] = 3).unwrap_err().kind(), Kind::Unsupported);
    }

    #[test]
    fn file_that_was_being_made_when_the_power_went_is_new() {
        let t = tempfile::tempdir().unwrap();
        let db = t.path().join("x.db");
        let c = Connection::open(&db).unwrap();
        c.execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN IMMEDIATE; CREATE TABLE t(v);").unwrap();
        c.execute_batch("INSERT INTO t VALUES(zeroblob(100000)); INSERT INTO t VALUES(zeroblob(100000));").unwrap();
        let copy = t.path().join("copy.db");
        fs::copy(place::beside(&db, "-journal"), place::beside(&copy, "-journal")).unwrap();
        fs::write(&copy, &fs::read(&db).unwrap()[..1024]).unwrap();
        assert_eq!(inspect(&copy, &FileLock::acquire(&copy).unwrap()).unwrap(), Found::New);
        let again = Connection::open(&copy).unwrap();
        let tables: i64 = again.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0)).unwrap();
        assert_eq!((tables, fs::metadata(&copy).unwrap().len()), (0, 0), "SQLite empties it");
        c.execute_batch("ROLLBACK; CREATE TABLE t(v); BEGIN IMMEDIATE; INSERT INTO t VALUES(zeroblob(200000));")
            .unwrap();
        fs::copy(place::beside(&db, "-journal"), place::beside(&copy, "-journal")).unwrap();
        drop(again);
        fs::write(&copy, [0xA5; 4096]).unwrap();
        assert_eq!(inspect(&copy, &FileLock::acquire(&copy).unwrap()).unwrap(), Found::Beside, "in its journal");
    }

    #[test]
    fn a_new_file_is_empty_and_private() {
        let t = tempfile::tempdir().unwrap();
        let db = t.path().join("x.db");
        let lock = FileLock::acquire(&db).unwrap();
        assert_eq!(inspect(&db, &lock).unwrap(), Found::Missing);
        assert!(!db.exists());
        create(&db, &lock).unwrap();
        assert_eq!(fs::metadata(&db).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(inspect(&db, &lock).unwrap(), Found::New);
    }
}
