//! The WAL at open: how much of it is sound, and whether an acknowledged group is missing from it.
//!
//! SQLite's recovery stops at the first frame whose checksum is wrong and silently forgets what follows. For a
//! torn last group that is right: nobody was told that it is there. For a flipped bit further in front it loses
//! acknowledged writes. The two are told apart by the commit marks behind the sound part: each group ends with one
//! mark, and group n+1 is written only after the fsync of group n. So one mark may be a torn group, which is cut
//! off; two prove that an acknowledged group was damaged, and the store does not open.
//!
//! **Invariants**
//! - Reading the `-wal` is safe beside SQLite (it takes no locks on it); it is changed only in [`settle`], before
//!   the process's first SQLite connection and under the store's lock.
//! - What recovery will show to the first reader is on disk before it is shown.
//! - Memory is bounded by one buffer; the file is read once, from front to back: 0.65 s a GiB in memory, where SQLite's
//!   own recovery takes 0.85 s; a store's WAL is some tens of MiB.
//!
//! Layout of the file: SQLite's "WAL-mode file format", sections 4.1 to 4.5.

use crate::error::{Error, Kind, Result};
use crate::lock::FileLock;
use crate::place;
use crate::sqlite::disk::WalFile;
use std::path::Path;

/// What a `-wal` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wal {
    /// Frames up to and with the last sound commit mark: what recovery will use.
    pub(crate) frames: u64,
    /// Commits among them.
    pub(crate) commits: u64,
    /// Bytes of the file, recycled space included.
    pub(crate) bytes: u64,
    /// Bytes up to the end of `frames`.
    pub(crate) sound_bytes: u64,
    /// Commit marks of the current generation behind the sound part.
    pub(crate) lost_marks: u64,
    /// Whether the database's first page is among `frames`.
    pub(crate) first_page: bool,
}

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const MAGIC: u32 = 0x377f_0682;
/// The one buffer of a scan.
const BUFFER: usize = 1 << 20;

/// Examines the `-wal` of a database, cuts a torn last group off, and makes durable what is left.
/// Answers `None` where there is no WAL or an empty one.
pub(crate) fn settle(db: &Path, _held: &FileLock, vfs: Option<&'static str>) -> Result<Option<Wal>> {
    let Some(mut file) = WalFile::open(db, vfs)? else { return Ok(None) };
    let mut wal = scan(&mut file)?;
    if wal.bytes == 0 {
        return Ok(None);
    }
    if wal.lost_marks > 1 {
        return Err(Error::new(Kind::Corrupt, lost(file.path(), &wal)));
    }
    if wal.lost_marks == 1 {
        // Its mark must go: behind the groups to come it would look like one that was lost.
        file.truncate(wal.sound_bytes)?;
        wal.bytes = wal.sound_bytes;
    }
    if wal.frames > 0 || wal.lost_marks > 0 {
        file.sync()?;
        place::sync_folder(place::folder_of(db))?;
    }
    Ok(Some(wal))
}

/// Whether recovery takes the database's first page from the WAL, whatever the file holds there: a power cut in a checkpoint
/// may leave that page damaged. Changes nothing.
pub(crate) fn holds_first_page(db: &Path, vfs: Option<&'static str>) -> Result<bool> {
    let Some(mut file) = WalFile::open(db, vfs)? else { return Ok(false) };
    Ok(scan(&mut file)?.first_page)
}

fn lost(path: &Path, wal: &Wal) -> String {
    format!(
        "{} is damaged at byte {} or soon after it: {} later commits are in the file but cannot be reached, and at least {} of \
         them were acknowledged. Nothing was changed. Restore the database from a copy; or, to go on without them, keep a copy \
         of all files beside this one and cut it there: truncate -s {}",
        path.display(),
        wal.sound_bytes,
        wal.lost_marks,
        wal.lost_marks - 1,
        wal.sound_bytes
    )
}

/// Reads a WAL from front to back.
pub(crate) fn scan(file: &mut WalFile) -> Result<Wal> {
    let bytes = file.size()?;
    let mut wal = Wal { bytes, ..Wal::default() };
    let mut header = [0u8; HEADER];
    if bytes < HEADER as u64 {
        return Ok(wal);
    }
    file.read_exact_at(&mut header, 0)?;
    let Some(mut scanner) = Scanner::new(&header) else {
        return Ok(wal); // never written, or not a WAL: SQLite takes it for empty
    };
    wal.sound_bytes = HEADER as u64;
    let frame = scanner.page + FRAME_HEADER;
    let mut buffer = vec![0u8; (BUFFER / frame).max(1) * frame];
    let mut at = HEADER as u64;
    while at + frame as u64 <= bytes {
        let whole = ((bytes - at) / frame as u64) as usize * frame;
        let read = whole.min(buffer.len());
        let piece = &mut buffer[..read];
        file.read_exact_at(piece, at)?;
        for (i, f) in piece.chunks_exact(frame).enumerate() {
            scanner.frame(f, at + (i * frame) as u64, &mut wal);
        }
        at += read as u64;
    }
    Ok(wal)
}

struct Scanner {
    page: usize,
    salts: [u8; 8],
    big_endian: bool,
    sums: (u32, u32),
    sound: bool,
    frames: u64,
    first_page: bool,
}

impl Scanner {
    /// `None` where the header cannot head anything. A header whose own checksum is wrong still heads its frames for the
    /// purpose of counting marks: 32 bytes in one sector are not torn, so with marks behind it, it was damaged.
    fn new(header: &[u8; HEADER]) -> Option<Scanner> {
        let magic = u32_at(header, 0);
        let page = u32_at(header, 8);
        if !(512..=65536).contains(&page) || !page.is_power_of_two() {
            return None;
        }
        let big_endian = magic & 1 == 1;
        let sums = checksum(big_endian, &header[..24], (0, 0));
        let sound =
            magic & !1 == MAGIC && u32_at(header, 4) == 3_007_000 && sums == (u32_at(header, 24), u32_at(header, 28));
        let mut salts = [0; 8];
        salts.copy_from_slice(&header[16..24]);
        Some(Scanner { page: page as usize, salts, big_endian, sums, sound, frames: 0, first_page: false })
    }

    fn frame(&mut self, f: &[u8], at: u64, wal: &mut Wal) {
        let (page, commit) = (u32_at(f, 0), u32_at(f, 4));
        let same = f[8..16] == self.salts;
        if self.sound {
            self.sound = same && page != 0 && {
                self.sums = checksum(self.big_endian, &f[..8], self.sums);
                self.sums = checksum(self.big_endian, &f[FRAME_HEADER..], self.sums);
                self.sums == (u32_at(f, 16), u32_at(f, 20))
            };
        }
        if self.sound {
            self.frames += 1;
            self.first_page |= page == 1;
            if commit != 0 {
                wal.frames = self.frames;
                wal.first_page = self.first_page;
                wal.commits += 1;
                wal.sound_bytes = at + f.len() as u64;
            }
        } else if same && commit != 0 {
            wal.lost_marks += 1;
        }
    }
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

/// The WAL's checksum: two sums that feed each other, over words in the byte order that the magic number names.
fn checksum(big_endian: bool, data: &[u8], (mut s0, mut s1): (u32, u32)) -> (u32, u32) {
    let word = |b: &[u8], at: usize| {
        let w = [b[at], b[at + 1], b[at + 2], b[at + 3]];
        if big_endian { u32::from_be_bytes(w) } else { u32::from_le_bytes(w) }
    };
    for pair in data.chunks_exact(8) {
        s0 = s0.wrapping_add(word(pair, 0)).wrapping_add(s1);
        s1 = s1.wrapping_add(word(pair, 4)).wrapping_add(s0);
    }
    (s0, s1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;
    use std::fs;
    use std::path::PathBuf;

    const FRAME: usize = 4096 + FRAME_HEADER;

    /// A WAL with `n` commits of one frame each, as a kill would leave it.
    fn killed(folder: &Path, n: u32, recycled: bool) -> PathBuf {
        let live = folder.join("live.db");
        let c = Connection::open(&live).unwrap();
        c.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(v);",
        )
        .unwrap();
        if recycled {
            for i in 0..n * 2 {
                c.execute("INSERT INTO t VALUES(?1)", [i]).unwrap();
            }
        }
        c.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        for i in 0..n {
            c.execute("INSERT INTO t VALUES(?1)", [i]).unwrap();
        }
        let db = folder.join("x.db");
        fs::copy(&live, &db).unwrap();
        fs::copy(place::beside(&live, "-wal"), place::beside(&db, "-wal")).unwrap();
        db
    }

    fn flip(db: &Path, at: usize) {
        let path = place::beside(db, "-wal");
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 4;
        fs::write(path, bytes).unwrap();
    }

    fn settled(db: &Path) -> Result<Option<Wal>> {
        settle(db, &FileLock::acquire(db).unwrap(), None)
    }

    fn rows(db: &Path) -> u32 {
        let c = Connection::open(db).unwrap();
        c.query_row("SELECT count(*) FROM t", [], |r| r.get(0)).unwrap()
    }

    #[test]
    fn intact_wal_is_counted_as_sqlite_recovers_it() {
        for recycled in [false, true] {
            let t = tempfile::tempdir().unwrap();
            let db = killed(t.path(), 200, recycled);
            let wal = settled(&db).unwrap().unwrap();
            assert_eq!((wal.commits, wal.lost_marks), (200, 0), "recycled: {recycled}");
            assert_eq!(wal.sound_bytes, (HEADER + FRAME * wal.frames as usize) as u64);
            assert_eq!(wal.bytes > wal.sound_bytes, recycled);
            assert_eq!(rows(&db), if recycled { 600 } else { 200 });
        }
    }

    #[test]
    fn flipped_bit_before_the_last_group_is_a_lost_acknowledged_write() {
        for recycled in [false, true] {
            for (frame, byte) in [(0, 1000), (100, 0), (100, 5), (100, 9), (100, 17), (198, FRAME - 1)] {
                let t = tempfile::tempdir().unwrap();
                let db = killed(t.path(), 200, recycled);
                flip(&db, HEADER + frame * FRAME + byte);
                let before = fs::read(place::beside(&db, "-wal")).unwrap();
                let e = settled(&db).unwrap_err();
                assert_eq!(e.kind(), Kind::Corrupt, "recycled {recycled} frame {frame} byte {byte}");
                assert!(e.to_string().contains("truncate -s"), "{e}");
                assert_eq!(fs::read(place::beside(&db, "-wal")).unwrap(), before, "nothing was changed");
            }
        }
    }

    #[test]
    fn torn_last_group_is_cut_off_and_the_file_opens_without_it() {
        for recycled in [false, true] {
            let t = tempfile::tempdir().unwrap();
            let db = killed(t.path(), 200, recycled);
            let last = settled(&db).unwrap().unwrap().frames as usize - 1;
            flip(&db, HEADER + last * FRAME + 1000);
            let wal = settled(&db).unwrap().unwrap();
            assert_eq!((wal.commits, wal.lost_marks), (199, 1));
            assert_eq!(fs::metadata(place::beside(&db, "-wal")).unwrap().len(), wal.sound_bytes);
            assert_eq!(settled(&db).unwrap().unwrap().lost_marks, 0);
            assert_eq!(rows(&db), if recycled { 599 } else { 199 });
        }
    }

    #[test]
    fn damaged_header_over_commits_is_refused_and_an_empty_one_is_not() {
        let t = tempfile::tempdir().unwrap();
        let db = killed(t.path(), 20, false);
        flip(&db, 25);
        assert_eq!(settled(&db).unwrap_err().kind(), Kind::Corrupt);
        fs::write(place::beside(&db, "-wal"), [0u8; 32]).unwrap();
        assert_eq!(settled(&db).unwrap().unwrap().frames, 0);
        fs::write(place::beside(&db, "-wal"), b"").unwrap();
        assert_eq!(settled(&db).unwrap(), None);
        fs::remove_file(place::beside(&db, "-wal")).unwrap();
        assert_eq!(settled(&db).unwrap(), None);
    }

    #[test]
    fn wal_cut_anywhere_is_no_longer_than_what_sqlite_recovers() {
        let t = tempfile::tempdir().unwrap();
        let db = killed(t.path(), 12, false);
        let whole = fs::read(place::beside(&db, "-wal")).unwrap();
        for cut in (0..whole.len()).step_by(1371) {
            let copy = t.path().join("cut.db");
            for s in ["-wal", "-shm"] {
                let _ = fs::remove_file(place::beside(&copy, s));
            }
            fs::copy(&db, &copy).unwrap();
            fs::write(place::beside(&copy, "-wal"), &whole[..cut]).unwrap();
            let wal = settled(&copy).unwrap().unwrap_or_default();
            assert_eq!(u64::from(rows(&copy)), wal.commits, "cut at {cut}");
        }
    }

    /// `cargo test --release -p monolite-store wal::tests::time -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement: writes 1 GiB"]
    fn time_of_a_scan_of_a_gibibyte() {
        let t = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let db = t.path().join("x.db");
        let c = Connection::open(&db).unwrap();
        c.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(v);",
        )
        .unwrap();
        for _ in 0..64 {
            c.execute("INSERT INTO t WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<256) SELECT zeroblob(65000) FROM s", []).unwrap();
        }
        let mut file = WalFile::open(&db, None).unwrap().unwrap();
        file.sync().unwrap();
        for _ in 0..3 {
            let began = std::time::Instant::now();
            let wal = scan(&mut file).unwrap();
            println!("scan of {} MiB, {} commits: {:?}", wal.bytes >> 20, wal.commits, began.elapsed());
        }
        c.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        drop(c);
        let began = std::time::Instant::now();
        let c = Connection::open(&db).unwrap();
        c.query_row("SELECT 1 FROM t LIMIT 1", [], |_| Ok(())).unwrap();
        println!("SQLite's own recovery: {:?}", began.elapsed());
    }
}
