//! The mark: a small file beside the database that says how far the file was acknowledged.
//!
//! It is written without an fsync of its own, at most about a second late, and so it is never ahead of the file: what it
//! names was synced before. A file that is behind its mark has lost acknowledged commits: a WAL cut short, a file
//! replaced by an older one, a disk that lied. The store does not open it. A person decides to go on by removing the mark.
//!
//! **Invariants**
//! - A mark that cannot be read says nothing: it may be a new file that a power cut left empty.
//! - The mark is only written for an open store, and never with a commit that was not published, so not synced.
//!
//! The layout is in docs/format/store.md.

use crate::error::{Error, Kind, Result};
use crate::place;
use rusqlite::Connection as Sqlite;
use rustix::fs::{Mode, OFlags};
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// How far a file was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) sequence: u64,
    pub(crate) history: [u8; 16],
    pub(crate) sums: Sums,
}

/// What is known of the checksums in the file's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sums {
    /// Not every page need have one, or another program has written the file.
    Unknown,
    /// Every page has one, but for those that a checkpoint was writing at the end.
    Kept,
    /// Every page has one: the store ended in order.
    Whole,
}

/// How much later than its mark a file may be changed whose store was killed.
const LATER_MAX: Duration = Duration::from_secs(2);

const MAGIC: &str = "monolite-mark 1";
/// Bytes of the file: all in one write of one block.
const LEN: usize = MAGIC.len() + 1 + 20 + 1 + 32 + 1 + 1 + 1 + 8 + 1;

impl Mark {
    /// The mark of a database, where there is one that can be read.
    pub(crate) fn of(db: &Path) -> Option<Mark> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = File::from(rustix::fs::open(place::beside(db, ".mark"), flags, Mode::empty()).ok()?);
        let mut bytes = [0; LEN];
        file.read_exact_at(&mut bytes, 0).ok()?;
        Mark::parse(std::str::from_utf8(&bytes).ok()?)
    }

    /// Writes the mark over the one that is there.
    pub(crate) fn write(&self, db: &Path) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = File::from(rustix::fs::open(place::beside(db, ".mark"), flags, Mode::from_raw_mode(0o600))?);
        file.write_all_at(self.text().as_bytes(), 0)
    }

    fn parse(text: &str) -> Option<Mark> {
        let (body, sum) = text.strip_suffix('\n')?.rsplit_once(' ')?;
        if u32::from_str_radix(sum, 16).ok()? != fnv(body) {
            return None;
        }
        let mut words = body.strip_prefix(MAGIC)?.split_ascii_whitespace();
        let (sequence, history) = (words.next()?.parse().ok()?, words.next()?);
        let history = u128::from_str_radix(history, 16).ok()?.to_be_bytes();
        let sums = match words.next()? {
            "k" => Sums::Kept,
            "w" => Sums::Whole,
            _ => Sums::Unknown,
        };
        Some(Mark { sequence, history, sums })
    }

    fn text(&self) -> String {
        let sums = match self.sums {
            Sums::Unknown => '-',
            Sums::Kept => 'k',
            Sums::Whole => 'w',
        };
        let mut text = format!("{MAGIC} {:020} {:032x} {sums}", self.sequence, u128::from_be_bytes(self.history));
        let sum = fnv(&text);
        writeln!(text, " {sum:08x}").expect("a String takes all that is written to it");
        text
    }
}

/// What is known of a file's checksums before it is opened: nothing, where another program has written it since.
pub(crate) fn sums_of(db: &Path) -> Sums {
    let changed = |path: &Path| std::fs::symlink_metadata(path).and_then(|m| m.modified());
    let (Some(mark), Ok(file), Ok(marked)) = (Mark::of(db), changed(db), changed(&place::beside(db, ".mark"))) else {
        return Sums::Unknown;
    };
    let has_wal = std::fs::symlink_metadata(place::beside(db, "-wal")).is_ok_and(|m| m.len() > 0);
    match mark.sums {
        // The mark was the last that was written.
        Sums::Whole if file <= marked => Sums::Whole,
        // No store leaves its file without a WAL that has a header at least, once it has made a commit: who closed it after a
        // kill, and copied the WAL without sums, removes it, or cuts it to nothing.
        Sums::Kept if has_wal && file <= marked + LATER_MAX => Sums::Kept,
        _ => Sums::Unknown,
    }
}

/// The last commit and the history, where the file has the store's table and its row.
pub(crate) fn known(sqlite: &Sqlite) -> Result<Option<Mark>> {
    let has_table = "SELECT count(*) FROM sqlite_schema WHERE name = '_monolite'";
    if sqlite.query_row(has_table, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(None);
    }
    let read = "SELECT sequence, history_id FROM _monolite WHERE id = 1";
    let row = sqlite.query_row(read, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
    let (sequence, history) = match row {
        Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(None),
        other => other?,
    };
    let mut id = [0; 16];
    let known = history.len().min(id.len());
    id[..known].copy_from_slice(&history[..known]);
    Ok(Some(Mark { sequence: sequence as u64, history: id, sums: Sums::Unknown }))
}

/// Refuses a file that is behind its mark, or is not the one that the mark is about.
pub(crate) fn check(db: &Path, found: Mark) -> Result<()> {
    match Mark::of(db) {
        Some(mark) if mark.history != found.history => Err(refused(
            db,
            format!("is not the file that was here before: that one, at commit {}, has another history", mark.sequence),
        )),
        Some(mark) if mark.sequence > found.sequence => Err(refused(
            db,
            format!(
                "is at commit {}, but commit {} was acknowledged: {} commits are missing, from a WAL that was cut short, by an \
                 older file in its place, or by a disk that lied",
                found.sequence,
                mark.sequence,
                mark.sequence - found.sequence
            ),
        )),
        _ => Ok(()),
    }
}

/// Refuses to make a new file where one was.
pub(crate) fn check_new(db: &Path) -> Result<()> {
    match Mark::of(db) {
        Some(mark) => {
            Err(refused(db, format!("is missing or empty, but commit {} was acknowledged here", mark.sequence)))
        }
        None => Ok(()),
    }
}

fn refused(db: &Path, what: String) -> Error {
    let mark = place::beside(db, ".mark");
    let text = format!(
        "{} {what}. Nothing was changed. Restore the database from a copy that has them, with its -wal; or, to go on from what is \
         there, remove the mark: rm {}",
        db.display(),
        place::quoted(&mark)
    );
    Error::new(Kind::Corrupt, text)
}

/// FNV-1a: enough to tell a torn or foreign file from a mark.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_anything_else_says_nothing() {
        let t = tempfile::tempdir().unwrap();
        let db = t.path().join("S.db");
        assert_eq!(Mark::of(&db), None);
        for sequence in [1, 70_000, u64::MAX] {
            let mark = Mark { sequence, history: [0xAB; 16], sums: Sums::Kept };
            mark.write(&db).unwrap();
            assert_eq!(Mark::of(&db), Some(mark));
        }
        let path = place::beside(&db, ".mark");
        let good = std::fs::read(&path).unwrap();
        assert_eq!(good.len(), LEN);
        for at in 0..LEN {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(Mark::of(&db), None, "byte {at}");
            std::fs::write(&path, &good[..at]).unwrap();
            assert_eq!(Mark::of(&db), None, "cut at {at}");
        }
    }

    #[test]
    fn a_file_behind_its_mark_or_with_another_history_is_refused() {
        let t = tempfile::tempdir().unwrap();
        let db = t.path().join("S.db");
        let mark = Mark { sequence: 9, history: [1; 16], sums: Sums::Whole };
        check(&db, mark).unwrap();
        check_new(&db).unwrap();
        mark.write(&db).unwrap();
        check(&db, mark).unwrap();
        check(&db, Mark { sequence: 12, ..mark }).unwrap();
        let behind = check(&db, Mark { sequence: 7, ..mark }).unwrap_err();
        assert_eq!(behind.kind(), Kind::Corrupt);
        for words in ["commit 7", "commit 9", "2 commits", "rm "] {
            assert!(behind.to_string().contains(words), "{behind}");
        }
        assert!(check(&db, Mark { history: [2; 16], ..mark }).is_err());
        assert!(check_new(&db).is_err());
    }

    #[test]
    fn sums_are_trusted_only_while_nobody_else_writes_the_file() {
        let t = tempfile::tempdir().unwrap();
        let db = t.path().join("S.db");
        std::fs::write(&db, b"x").unwrap();
        let wal = place::beside(&db, "-wal");
        std::fs::write(&wal, b"x").unwrap();
        assert_eq!(sums_of(&db), Sums::Unknown);
        for sums in [Sums::Whole, Sums::Kept, Sums::Unknown] {
            Mark { sequence: 9, history: [1; 16], sums }.write(&db).unwrap();
            assert_eq!(sums_of(&db), sums);
        }
        Mark { sequence: 9, history: [1; 16], sums: Sums::Whole }.write(&db).unwrap();
        let file = File::options().write(true).open(&db).unwrap();
        let later = |by| file.set_modified(file.metadata().unwrap().modified().unwrap() + by).unwrap();
        later(Duration::from_secs(1));
        assert_eq!(sums_of(&db), Sums::Unknown, "changed after its mark");
        Mark { sequence: 9, history: [1; 16], sums: Sums::Kept }.write(&db).unwrap();
        assert_eq!(sums_of(&db), Sums::Kept, "by a checkpoint before the kill");
        std::fs::write(&wal, b"").unwrap();
        assert_eq!(sums_of(&db), Sums::Unknown, "another program has copied it");
        std::fs::remove_file(wal).unwrap();
        assert_eq!(sums_of(&db), Sums::Unknown, "another program was the last one there");
        later(Duration::from_secs(60));
        assert_eq!(sums_of(&db), Sums::Unknown);
    }
}
