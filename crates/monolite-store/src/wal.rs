//! The WAL at open: is what recovery shows on the disk, and is an acknowledged group missing from it?
//!
//! SQLite's recovery stops at the first frame whose checksum is wrong and silently forgets what follows. For a
//! torn last group that is right: nobody was told that it is there, and its rest is cut off. For a flipped bit further in
//! front it loses acknowledged writes, and the store does not open. What tells the two apart: [`wal_behind`].
//!
//! Where the sound part ends is asked of SQLite, whose recovery sums every frame anyway.
//!
//! **Invariants**
//! - What recovery will show to the first reader is on disk before it is shown. A page that the kernel failed to write
//!   once is clean and stays in memory: so what was synced is dropped from memory, and recovery reads the disk.
//! - Reading the `-wal` is safe beside SQLite (it takes no locks on it); it is cut under the WAL's write lock only.
//!
//! Layout of the file: SQLite's "WAL-mode file format", sections 4.1 to 4.5.

use crate::error::{Error, Kind, Result};
use crate::lock::FileLock;
use crate::place;
use crate::planted::planted;
use crate::sqlite::disk::WalFile;
use crate::sqlite::live;
use crate::wal_behind::{self, Tail};
use rusqlite::Connection;
use std::path::Path;

/// A larger WAL is not dropped from memory: reading it again from the disk could take longer than opening may.
/// A store under load has one of a few times `Config::wal_soft_bytes`.
const DROPPED_MAX: u64 = 1 << 30;

/// Makes what a `-wal` holds durable, before SQLite opens it.
pub(crate) fn make_durable(db: &Path, _held: &FileLock, vfs: Option<&'static str>) -> Result<()> {
    let Some(mut file) = WalFile::open(db, vfs)? else { return Ok(()) };
    let bytes = file.size()?;
    if bytes > 0 && !planted!("recovered_wal_not_synced") {
        file.sync()?;
        place::sync_folder(place::folder_of(db))?;
        if bytes <= DROPPED_MAX && !planted!("wal_not_read_again") {
            file.forget();
        }
    }
    Ok(())
}

/// Lets SQLite recover, and looks behind what it recovered: cuts a torn last group off, refuses a damaged one.
/// For a connection that has done nothing yet; `may_cut` has a last word before anything is changed.
pub(crate) fn settle(
    sqlite: &Connection,
    db: &Path,
    vfs: Option<&'static str>,
    may_cut: impl FnOnce() -> Result<()>,
) -> Result<Tail> {
    let Some(mut file) = WalFile::open(db, vfs)? else { return Ok(Tail::default()) };
    let first = within(sqlite, "BEGIN", || wal_behind::look(sqlite, &mut file))?;
    if first.lost() == 0 {
        return Ok(first);
    }
    // Again under the write lock: another program's group in the making is no lost one.
    within(sqlite, "BEGIN IMMEDIATE", || {
        let tail = wal_behind::look(sqlite, &mut file)?;
        if tail.proves_a_loss() {
            return Err(Error::new(Kind::Corrupt, lost(db, file.path(), &tail)));
        }
        if tail.marks > 0 && !planted!("torn_group_not_cut") {
            may_cut()?;
            // Its mark must go: behind the groups to come it would look like one that was lost.
            live::cut_wal(sqlite, tail.sound_bytes)?;
        }
        Ok(tail)
    })
}

/// Frames up to the last commit. `None` while another program writes: its commit, or the store's next one, will tell.
pub(crate) fn frames(sqlite: &Connection) -> Result<Option<u64>> {
    match within(sqlite, "BEGIN IMMEDIATE", || Ok(live::wal_index(sqlite)?.frames)) {
        Err(e) if e.kind() == Kind::Busy => Ok(None),
        frames => frames.map(Some),
    }
}

/// Runs in a transaction that changes nothing, opened by a read of the first page.
fn within<T>(sqlite: &Connection, begin: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    sqlite.execute_batch(begin)?;
    let read = sqlite.query_row("PRAGMA schema_version", [], |_| Ok(())).map_err(Error::from);
    let done = read.and_then(|()| work());
    if !sqlite.is_autocommit() {
        sqlite.execute_batch("ROLLBACK")?;
    }
    done
}

fn lost(db: &Path, wal: &Path, tail: &Tail) -> String {
    let mark = place::beside(db, ".mark");
    format!(
        "{} is damaged at byte {} or soon after it: {} later commits are in the file but cannot be reached, and at least {} of \
         them were acknowledged. Nothing was changed. Restore the database from a copy; or, to go on without them, keep a copy \
         of all files beside this one, cut it there, and remove the mark, which names them: truncate -s {} {} && rm -f {}",
        wal.display(),
        tail.sound_bytes,
        tail.lost(),
        tail.lost() - 1,
        tail.sound_bytes,
        place::quoted(wal),
        place::quoted(&mark)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;
    use std::fs;
    use std::path::PathBuf;

    const HEADER: usize = 32;
    const FRAME: usize = 4096 + 24;

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

    /// Leaves the file as it is: no checkpoint at close.
    fn connection(db: &Path) -> Connection {
        let c = Connection::open(db).unwrap();
        c.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        c
    }

    fn settled(db: &Path) -> Result<Tail> {
        make_durable(db, &FileLock::acquire(db).unwrap(), None)?;
        settle(&connection(db), db, None, || Ok(()))
    }

    fn rows(db: &Path) -> u32 {
        let c = connection(db);
        c.query_row("SELECT count(*) FROM t", [], |r| r.get(0)).unwrap()
    }

    #[test]
    fn intact_wal_is_counted_as_sqlite_recovers_it() {
        for recycled in [false, true] {
            let t = tempfile::tempdir().unwrap();
            let db = killed(t.path(), 200, recycled);
            let wal = settled(&db).unwrap();
            assert_eq!(wal.marks, 0, "recycled: {recycled}");
            assert!(wal.frames >= 200);
            assert_eq!(wal.sound_bytes, (HEADER + FRAME * wal.frames as usize) as u64);
            assert_eq!(fs::metadata(place::beside(&db, "-wal")).unwrap().len() > wal.sound_bytes, recycled);
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
    fn rubbish_of_torn_sectors_is_no_mark() {
        let t = tempfile::tempdir().unwrap();
        let db = killed(t.path(), 20, false);
        let path = place::beside(&db, "-wal");
        let mut bytes = fs::read(&path).unwrap();
        for rubbish in [0xA5u8, 0x7C] {
            let mut frame = [rubbish; FRAME];
            frame[8..16].copy_from_slice(&bytes[16..24]);
            bytes.extend_from_slice(&frame);
        }
        fs::write(&path, bytes).unwrap();
        assert_eq!(settled(&db).unwrap().marks, 0);
        assert_eq!(rows(&db), 20);
    }

    #[test]
    fn torn_last_group_is_cut_off_and_the_file_opens_without_it() {
        for recycled in [false, true] {
            let t = tempfile::tempdir().unwrap();
            let db = killed(t.path(), 200, recycled);
            let last = settled(&db).unwrap().frames - 1;
            flip(&db, HEADER + last as usize * FRAME + 1000);
            let wal = settled(&db).unwrap();
            assert_eq!((wal.frames, wal.marks), (last, 1));
            assert_eq!(fs::metadata(place::beside(&db, "-wal")).unwrap().len(), wal.sound_bytes);
            assert_eq!(settled(&db).unwrap().marks, 0);
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
        assert_eq!(settled(&db).unwrap().frames, 0);
        fs::write(place::beside(&db, "-wal"), b"").unwrap();
        assert_eq!(settled(&db).unwrap().frames, 0);
        fs::remove_file(place::beside(&db, "-wal")).unwrap();
        assert_eq!(settled(&db).unwrap(), Tail::default());
    }

    #[test]
    fn wal_cut_anywhere_keeps_what_is_whole_in_it_and_is_never_refused() {
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
            let wal = settled(&copy).unwrap();
            let behind = cut.saturating_sub(HEADER);
            // Each frame here is a commit: what is left of the last one may still show its mark, and goes.
            let mark = u64::from(behind % FRAME >= 24);
            assert_eq!((wal.frames, wal.marks), ((behind / FRAME) as u64, mark), "cut at {cut}");
            assert!(mark == 0 || fs::metadata(place::beside(&copy, "-wal")).unwrap().len() == wal.sound_bytes);
        }
    }

    #[test]
    fn another_programs_group_in_the_making_is_no_lost_one() {
        let t = tempfile::tempdir().unwrap();
        let db = t.path().join("x.db");
        let other = connection(&db);
        other.execute_batch("PRAGMA journal_mode=WAL; PRAGMA cache_size=2; CREATE TABLE t(v); BEGIN; INSERT INTO t VALUES(zeroblob(400000))").unwrap();
        assert_eq!(settled(&db).unwrap().marks, 0, "spilled frames carry no mark");
        other.execute_batch("COMMIT").unwrap();
        assert_eq!(settled(&db).unwrap().marks, 0);
    }

    /// `cargo test --release -p monolite-store wal::tests::time -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement: writes 1 GiB"]
    fn time_to_settle_a_gibibyte() {
        let t = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let db = t.path().join("x.db");
        let c = connection(&db);
        c.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(v);",
        )
        .unwrap();
        for _ in 0..64 {
            c.execute("INSERT INTO t WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<256) SELECT zeroblob(65000) FROM s", []).unwrap();
        }
        drop(c);
        for _ in 0..3 {
            let began = std::time::Instant::now();
            let bytes = fs::metadata(place::beside(&db, "-wal")).unwrap().len();
            make_durable(&db, &FileLock::acquire(&db).unwrap(), None).unwrap();
            let durable = began.elapsed();
            let tail = settle(&connection(&db), &db, None, || Ok(())).unwrap();
            println!(
                "{} MiB, {} frames: durable after {durable:?}, settled after {:?}",
                bytes >> 20,
                tail.frames,
                began.elapsed()
            );
        }
    }
}
