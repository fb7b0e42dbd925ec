//! What lies in a `-wal` behind the part that recovery took: the torn end of a commit, or acknowledged commits that a
//! damaged frame in front of them cuts off?
//!
//! Recovery stops at the first frame whose checksum is wrong and forgets the rest without a word. After a crash the rest is
//! the one group that was being written: group n+1 is written only after the sync of group n. Two facts prove that it
//! is more than that, and each is looked for:
//!
//! 1. *Two commit marks* of the current generation. Each group ends with one, so two are of two groups, and the first of
//!    them was synced before the second was begun.
//! 2. *A page of the store's own row*, whole, that names a commit two or more after the recovered one. Every commit
//!    raises that row by one, so a page with n+2 was written after n+1 was synced.
//!
//! Neither refuses a file that only lost its power, whatever was in flight (a sector is 512 bytes or more and is old, new
//! or rubbish as a whole). What can lie behind the sound part, and why it is not taken for a loss:
//!
//! - *Frames of an earlier generation*: their salts differ; salts count up and are half random.
//! - *The group in flight*: one mark, in its last frame; its row names the next commit, and no later one.
//! - *Frames that were spilled and rolled back*: they carry no mark.
//! - *A commit that failed*, at the same place, with the same salts: its frames are cut out of the file, and the cut is
//!   synced, before anything else is written there; where that fails the store writes no more (`write/settle.rs`). Of a
//!   commit without room this is done where the header with the mark fitted (its page did not); its other frames stay.
//! - *A cut that was not durable*: one failed or torn group, as it was before the cut; it is cut again. Nothing is behind
//!   it, since nothing was written before the cut was synced.
//! - *A torn group found at an earlier opening*: its mark was cut off then, also where the file ended inside of its frame. Had its
//!   mark not reached the disk, no mark is left of it. Its row names a commit that was never passed.
//! - *A header from two writes*. A frame is a page and 24 bytes long, so every 64th header has a border of sectors in it, between its
//!   page and mark (8 bytes) and its salts and checksum. If only the second of the two sectors was written, the
//!   current salts stand behind a mark of an earlier generation, inside of a group that has none there. (Found by crash
//!   images, once in 50,000: frame 41, at byte 504 of its sector.) Such a header counts only where the checksum of its
//!   whole frame is right.
//! - *Rubbish* in the first of these sectors, likewise.
//!
//! What no look at the WAL can tell from a torn group: damage to the last acknowledged group alone. The mark beside the
//! file can, but for its last second. A second program that commits here without syncs, and a power cut over it, may look like a loss.
//!
//! **Invariants**
//! - Reads only. Under a transaction: nobody starts the WAL over meanwhile.
//! - What is behind is looked at by its headers; whole frames are read only where they decide.

use crate::error::Result;
use crate::follow::row::row;
use crate::mark::{self, Mark};
use crate::sqlite::disk::WalFile;
use crate::sqlite::live::{self, WalIndex};
use crate::wal_scan::{checksum, u32_at};
use rusqlite::Connection;

/// The end of a `-wal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tail {
    /// Frames up to and with the last sound commit mark: what recovery used.
    pub(crate) frames: u64,
    /// Bytes up to the end of `frames`.
    pub(crate) sound_bytes: u64,
    /// Commit marks of the current generation behind the sound part.
    pub(crate) marks: u64,
    /// The last commit that the store's row names behind the sound part, counted from the recovered one.
    pub(crate) later: u64,
}

impl Tail {
    /// Commits behind the sound part, as far as they show.
    pub(crate) fn lost(&self) -> u64 {
        self.marks.max(self.later)
    }

    /// Whether one of them at least was acknowledged.
    pub(crate) fn proves_a_loss(&self) -> bool {
        self.lost() > 1
    }
}

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The smallest unit that a disk writes whole.
const SECTOR: u64 = 512;

/// Asks for the sound part, and looks behind it.
pub(crate) fn look(sqlite: &Connection, file: &mut WalFile) -> Result<Tail> {
    let index = live::wal_index(sqlite)?;
    let mut tail = Tail { frames: index.frames, sound_bytes: index.end(), ..Tail::default() };
    let Some(mut frames) = Frames::of(file)? else { return Ok(tail) };
    let own = own_page(sqlite);
    // A group grows the file by a page for each of its frames at most. What says more is rubbish.
    let pages: u64 = sqlite.query_row("PRAGMA page_count", [], |r| r.get::<_, i64>(0))?.unsigned_abs();
    let possible = 1..=pages + frames.bytes / frames.frame();
    for at in tail.frames.. {
        let Some(head) = frames.head(at)? else { break };
        // A header of the file whose own checksum is wrong still heads its frames here: 32 bytes in one sector are not
        // torn, so with marks behind it, it was damaged.
        if head[8..16] != frames.header[16..24] {
            continue;
        }
        let (page, size) = (u64::from(u32_at(&head, 0)), u64::from(u32_at(&head, 4)));
        if possible.contains(&page) && possible.contains(&size) {
            let of_one_write = frames.place(at) % SECTOR != SECTOR - 8;
            tail.marks += u64::from(of_one_write || frames.whole(at)?.is_some());
        }
        if let Some((root, recovered)) = &own
            && page == *root
            && let Some(row) = frames.whole(at)?.and_then(|page| row(&page, &recovered.history))
        {
            tail.later = tail.later.max(row.sequence.saturating_sub(recovered.sequence));
        }
    }
    Ok(tail)
}

/// Where the frame with the mark of a commit begins that failed behind the published part, if the mark is there.
pub(crate) fn failed_mark(index: &WalIndex, file: &mut WalFile) -> Result<Option<u64>> {
    let Some(mut frames) = Frames::of(file)? else { return Ok(None) };
    for at in index.frames.. {
        match frames.head(at)? {
            Some(head) if head[8..16] != frames.header[16..24] => break, // its frames are all of one generation
            Some(head) if u32_at(&head, 4) != 0 => return Ok(Some(frames.place(at))),
            Some(_) => {}
            None => break,
        }
    }
    Ok(None)
}

/// The root page of the store's own table, and what its row says; `None` where the file has none that can be read.
fn own_page(sqlite: &Connection) -> Option<(u64, Mark)> {
    let root = "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = '_monolite'";
    let root = sqlite.query_row(root, [], |r| r.get::<_, i64>(0)).ok()?;
    Some((root.unsigned_abs(), mark::known(sqlite).ok()??))
}

/// The frames of a WAL, by their places.
struct Frames<'a> {
    file: &'a mut WalFile,
    bytes: u64,
    header: [u8; HEADER],
    page: usize,
}

impl Frames<'_> {
    /// `None` for what was never written, or is no WAL: SQLite takes it for empty.
    fn of(file: &mut WalFile) -> Result<Option<Frames<'_>>> {
        let bytes = file.size()?;
        if bytes < HEADER as u64 {
            return Ok(None);
        }
        let mut header = [0u8; HEADER];
        file.read_exact_at(&mut header, 0)?;
        let page = u32_at(&header, 8);
        let is_size = (512..=65536).contains(&page) && page.is_power_of_two();
        Ok(is_size.then_some(Frames { file, bytes, header, page: page as usize }))
    }

    fn frame(&self) -> u64 {
        (self.page + FRAME_HEADER) as u64
    }

    /// Where a frame begins.
    fn place(&self, frame: u64) -> u64 {
        HEADER as u64 + frame * self.frame()
    }

    /// A frame's header, also where the file ends inside of its page.
    fn head(&mut self, frame: u64) -> Result<Option<[u8; FRAME_HEADER]>> {
        let at = self.place(frame);
        if at + FRAME_HEADER as u64 > self.bytes {
            return Ok(None);
        }
        let mut head = [0u8; FRAME_HEADER];
        self.file.read_exact_at(&mut head, at)?;
        Ok(Some(head))
    }

    /// The page in a frame, where its checksum is right: going on from what the frame before says that its own is, or from
    /// what that really is.
    fn whole(&mut self, frame: u64) -> Result<Option<Vec<u8>>> {
        let Some(this) = self.read(frame)? else { return Ok(None) };
        let own = (u32_at(&this, 16), u32_at(&this, 20));
        let said = self.said(frame)?;
        let mut whole = said.is_some_and(|said| self.sum(said, &this) == own);
        if !whole && frame > 0 {
            let before = (self.said(frame - 1)?, self.read(frame - 1)?);
            if let (Some(said), Some(before)) = before {
                whole = self.sum(self.sum(said, &before), &this) == own;
            }
        }
        Ok(whole.then(|| this[FRAME_HEADER..].to_vec()))
    }

    /// What the sums were in front of a frame, as the frame before says, or the file's header.
    fn said(&mut self, frame: u64) -> Result<Option<(u32, u32)>> {
        if frame == 0 {
            return Ok(Some((u32_at(&self.header, 24), u32_at(&self.header, 28))));
        }
        Ok(self.head(frame - 1)?.map(|head| (u32_at(&head, 16), u32_at(&head, 20))))
    }

    fn sum(&self, before: (u32, u32), frame: &[u8]) -> (u32, u32) {
        let big_endian = u32_at(&self.header, 0) & 1 == 1;
        checksum(big_endian, &frame[FRAME_HEADER..], checksum(big_endian, &frame[..8], before))
    }

    fn read(&mut self, frame: u64) -> Result<Option<Vec<u8>>> {
        let at = self.place(frame);
        if at + self.frame() > self.bytes {
            return Ok(None);
        }
        let mut bytes = vec![0; self.page + FRAME_HEADER];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::lock::FileLock;
    use crate::{place, wal};
    use std::fs;
    use std::path::{Path, PathBuf};

    const FRAME: usize = 4096 + FRAME_HEADER;
    const OWN: &str =
        "CREATE TABLE _monolite(id INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, writer_epoch INTEGER NOT NULL,
                           history_id BLOB NOT NULL) STRICT;
                       INSERT INTO _monolite VALUES(1, 1, 0, zeroblob(16)); CREATE TABLE t(v);";

    /// Without a checkpoint but those that are asked for.
    fn connection(db: &Path) -> Connection {
        let c = Connection::open(db).unwrap();
        c.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        c.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0").unwrap();
        c
    }

    fn frames(db: &Path) -> usize {
        live::wal_index(&connection_in_read(db)).unwrap().frames as usize
    }

    fn connection_in_read(db: &Path) -> Connection {
        let c = connection(db);
        c.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").unwrap();
        c
    }

    fn commit(c: &Connection) {
        c.execute_batch("BEGIN; UPDATE _monolite SET sequence = sequence + 1; INSERT INTO t VALUES(1); COMMIT")
            .unwrap();
    }

    /// A copy of the database, with these bytes as its WAL.
    fn laid_out(folder: &Path, live: &Path, wal: &[u8]) -> PathBuf {
        let db = folder.join("copy.db");
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(place::beside(&db, suffix));
        }
        fs::copy(live, &db).unwrap();
        fs::write(place::beside(&db, "-wal"), wal).unwrap();
        db
    }

    fn settled(db: &Path) -> Result<Tail> {
        wal::make_durable(db, &FileLock::acquire(db).unwrap(), None)?;
        let c = Connection::open(db).unwrap();
        c.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        wal::settle(&c, db, None, || Ok(()))
    }

    /// Crash images, seed 27, operation 434: refused for two marks, of which one was a header of two generations.
    #[test]
    fn an_older_mark_under_the_salts_of_a_torn_group_is_no_mark() {
        const TORN: usize = 41;
        let t = tempfile::tempdir().unwrap();
        let live = t.path().join("live.db");
        let c = connection(&live);
        c.execute_batch("CREATE TABLE t(v)").unwrap();
        while frames(&live) <= TORN + 10 {
            c.execute("INSERT INTO t VALUES(1)", []).unwrap(); // a frame with a mark each
        }
        let wal = place::beside(&live, "-wal");
        let older = fs::read(&wal).unwrap();
        c.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        c.execute("INSERT INTO t VALUES(1)", []).unwrap();
        while frames(&live) < TORN - 4 {
            c.execute("INSERT INTO t VALUES(1)", []).unwrap();
        }
        c.execute("INSERT INTO t VALUES(zeroblob(50000))", []).unwrap();
        let mut torn = fs::read(&wal).unwrap();
        let header = HEADER + TORN * FRAME;
        let border = header + 8;
        assert_eq!(border as u64 % SECTOR, 0, "the sector ends between the mark and the salts");
        let sector = border - SECTOR as usize..border;
        torn[sector.clone()].copy_from_slice(&older[sector]);
        assert_eq!(torn[header + 8..header + 16], torn[16..24], "current salts");
        assert_ne!(u32_at(&torn, header + 4), 0, "and a mark");
        let db = laid_out(t.path(), &live, &torn);
        let tail = settled(&db).unwrap();
        assert_eq!((tail.frames as usize, tail.marks), (TORN - 4, 1), "the last frame's mark alone");
        assert_eq!(fs::metadata(place::beside(&db, "-wal")).unwrap().len(), tail.sound_bytes);
        assert_eq!(settled(&db).unwrap().lost(), 0);
    }

    /// Wherever one bit of the last but one group flips, in whatever place of a sector: the last group proves it. And
    /// wherever it flips in the last one, that is taken for torn.
    #[test]
    fn a_flipped_bit_of_the_last_group_but_one_is_a_loss_and_of_the_last_a_torn_group() {
        let t = tempfile::tempdir().unwrap();
        let live = t.path().join("live.db");
        let c = connection(&live);
        c.execute_batch(OWN).unwrap();
        c.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        let mut places = std::collections::HashSet::new();
        while frames(&live) < 37 {
            commit(&c);
        }
        while frames(&live) < 45 {
            commit(&c);
            let count = frames(&live);
            let sound = fs::read(place::beside(&live, "-wal")).unwrap();
            for (frame, byte) in
                (count - 4..count).flat_map(|f| [0, 3, 7, 9, 15, 17, 23, 24, 1000, 4119].map(|b| (f, b)))
            {
                let mut hurt = sound.clone();
                hurt[HEADER + frame * FRAME + byte] ^= 4;
                places.insert(((HEADER + frame * FRAME) % SECTOR as usize, frame % 2));
                let db = laid_out(t.path(), &live, &hurt);
                let found = settled(&db);
                let what = format!("frame {frame} of {count}, byte {byte}");
                if frame < count - 2 {
                    assert_eq!(found.map_err(|e| e.kind()).unwrap_err(), Kind::Corrupt, "{what}");
                } else if byte >= 8 {
                    // (A flip in front of that may make a mark; no power cut does.)
                    assert_eq!(found.unwrap().frames as usize, count - 2, "{what}");
                }
            }
        }
        assert!(places.contains(&(504, 0)) || places.contains(&(504, 1)), "the border was among them");
    }

    /// The rest of a group that ended nowhere, whose pages name the next commit: no loss.
    #[test]
    fn frames_of_the_next_commit_without_its_mark_are_no_loss() {
        let t = tempfile::tempdir().unwrap();
        let live = t.path().join("live.db");
        let c = connection(&live);
        c.execute_batch(OWN).unwrap();
        commit(&c);
        let before = frames(&live);
        c.execute_batch(
            "BEGIN; UPDATE _monolite SET sequence = sequence + 1; INSERT INTO t VALUES(zeroblob(50000)); COMMIT",
        )
        .unwrap();
        let count = frames(&live);
        let sound = fs::read(place::beside(&live, "-wal")).unwrap();
        for hurt in before..count {
            for keeps in [count - 1, count] {
                let mut torn = sound[..HEADER + keeps * FRAME].to_vec();
                if hurt < keeps {
                    torn[HEADER + hurt * FRAME + 500] ^= 1;
                }
                let tail = settled(&laid_out(t.path(), &live, &torn)).unwrap();
                let whole = hurt >= keeps && keeps == count;
                assert_eq!(tail.frames as usize, if whole { count } else { before }, "frame {hurt}, {keeps} kept");
                assert!(tail.lost() <= 1, "{tail:?}");
            }
        }
    }
}
