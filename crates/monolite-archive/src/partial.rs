//! A file before it has its name, and the note beside it by which a restore that was killed goes on.
//!
//! The note, `<out>.partial.state`, says which segments were read, how far each, and what was written of them. It is made after
//! the bytes that it speaks of are on the disk.
//!
//! **Invariants**
//! - What is gone on with was compared: the bytes that are there have the sum of the note, its segments are all still there.
//! - A note of another history or target, or that cannot be read, says nothing: the restore begins anew.
//! - One restore at a time writes to a name; nothing is written to a file that has its name already.

use crate::disk::{self, Written};
use crate::history::{History, Segment};
use crate::layout::{Level, SegmentName};
use crate::ltx::Stand;
use crate::plan::Plan;
use crate::{Error, Kind, Result};
use crc_fast::{CrcAlgorithm, Digest};
use monolite_store::maintain::is_named;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
/// The longest note that is read: some hundred bytes for each of 256 segments.
const NOTE_BYTES_MAX: u64 = 1 << 20;
/// Bytes read at a time.
const PIECE: usize = 1 << 20;
/// How often a file may be named under our hands before we give up.
const NAMED_MAX: usize = 8;

/// How far a restore came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    format: u32,
    /// The history's root in its place.
    root: String,
    /// Level, first and last commit, and bytes of each segment.
    segments: Vec<(u8, u64, u64, u64)>,
    /// The last page that was written.
    pub(crate) page: u32,
    /// Bytes that were written, and their sum.
    pub(crate) written: u64,
    sum: u64,
    /// Where each segment stands behind that page.
    pub(crate) stands: Vec<Option<Stand>>,
}

/// The file before it has its name; gone when it is dropped, unless it is kept.
pub(crate) struct Partial {
    file: Written,
    pub(crate) path: PathBuf,
    pub(crate) rounds: PathBuf,
    note: PathBuf,
    written: u64,
    sum: Digest,
    stays: bool,
}

impl Partial {
    pub(crate) fn begin(out: &Path) -> Result<Partial> {
        let (path, rounds, note) = (beside(out, ".partial"), beside(out, ".rounds"), beside(out, ".partial.state"));
        for _ in 0..NAMED_MAX {
            let context = |e| Error::local(format!("writing {}", path.display()), e);
            let file = Written::open_or_create(&path).map_err(context)?;
            if flock(file.file(), FlockOperation::NonBlockingLockExclusive).is_err() {
                return Err(Error::new(Kind::Exists, format!("another restore writes {} now", path.display())));
            }
            // Between the two another restore may have given it its name.
            if is_named(file.file(), &path) {
                let sum = Digest::new(CrcAlgorithm::Crc64GoIso);
                return Ok(Partial { file, path, rounds, note, written: 0, sum, stays: false });
            }
        }
        Err(Error::new(Kind::Exists, format!("other restores write {} again and again", path.display())))
    }

    /// What an earlier restore of this target noted, if all of it still holds; the file then goes on behind it.
    pub(crate) fn resumed(&mut self, history: &History, target: u64) -> Result<Option<(Note, Plan)>> {
        let Some((note, plan)) = self.noted(history, target)? else { return Ok(None) };
        if self.take_up(&note).map_err(|e| self.failed(e))? { Ok(Some((note, plan))) } else { Ok(None) }
    }

    /// Begins the file anew.
    pub(crate) fn clear(&mut self) -> Result<()> {
        let _ = disk::remove(&self.note); // it does not fit what is written next
        (self.written, self.sum) = (0, Digest::new(CrcAlgorithm::Crc64GoIso));
        self.file.seek(0);
        self.file.set_len(0).map_err(|e| self.failed(e))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| self.failed(e))?;
        self.sum.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Notes that everything up to this page is written.
    pub(crate) fn note(&self, history: &History, plan: &Plan, page: u32, stands: Vec<Option<Stand>>) -> Result<()> {
        self.file.sync().map_err(|e| self.failed(e))?;
        let segments = plan.segments().iter();
        let segments = segments.map(|s| (s.level.number(), s.name.first, s.name.last, s.bytes)).collect();
        let (root, written, sum) = (history.root().to_owned(), self.written, self.sum.get_state());
        let note = Note { format: FORMAT, root, segments, page, written, sum, stands };
        let text = serde_json::to_vec(&note).map_err(|e| self.failed(e.into()))?;
        let partial = beside(&self.note, ".new");
        let named = (|| {
            let mut file = Written::replace(&partial)?;
            file.write_all(&text)?;
            file.sync()?;
            disk::rename(&partial, &self.note)
        })();
        named.map_err(|e| self.failed(e))
    }

    /// The last page may be the lock page, of which nothing was written.
    pub(crate) fn sync(&mut self, bytes: u64) -> Result<()> {
        self.file.set_len(bytes).and_then(|()| self.file.sync()).map_err(|e| self.failed(e))
    }

    /// What is there stays, for a restore that goes on with it.
    pub(crate) fn keep(&mut self) {
        self.stays = self.note.exists();
    }

    pub(crate) fn finish(mut self, out: &Path) -> Result<()> {
        disk::rename_new(&self.path, out)
            .map_err(|e| Error::io(format!("giving the restored file its name {}", out.display()), e))?;
        self.stays = true;
        let _ = disk::remove(&self.note); // without its file it says nothing
        let folder = out.parent().expect("an absolute path to a file has a folder");
        disk::sync(folder).map_err(|e| Error::io(format!("syncing the folder {}", folder.display()), e))
    }

    fn noted(&self, history: &History, target: u64) -> Result<Option<(Note, Plan)>> {
        let mut text = Vec::new();
        let read = File::open(&self.note).and_then(|file| file.take(NOTE_BYTES_MAX).read_to_end(&mut text));
        let (Ok(_), Ok(note)) = (read, serde_json::from_slice::<Note>(&text)) else { return Ok(None) };
        if note.format != FORMAT || note.root != history.root() || note.stands.len() != note.segments.len() {
            return Ok(None);
        }
        let there = history.segments()?;
        let find = |(level, first, last, bytes): &(u8, u64, u64, u64)| {
            let (level, name) = (Level::new(*level)?, SegmentName { first: *first, last: *last });
            there.iter().find(|s| (s.level, s.name, s.bytes) == (level, name, *bytes)).copied()
        };
        let segments: Option<Vec<Segment>> = note.segments.iter().map(find).collect();
        let plan = segments.and_then(Plan::of).filter(|plan| plan.last() == target);
        Ok(plan.map(|plan| (note, plan)))
    }

    /// Compares what is there with a note, and stands behind it; answers whether it fits.
    fn take_up(&mut self, note: &Note) -> std::io::Result<bool> {
        let mut file = self.file.file();
        if file.metadata()?.len() < note.written {
            return Ok(false);
        }
        file.rewind()?;
        let (mut sum, mut left, mut piece) = (Digest::new(CrcAlgorithm::Crc64GoIso), note.written, vec![0; PIECE]);
        while left > 0 {
            let most = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
            file.read_exact(&mut piece[..most])?;
            sum.update(&piece[..most]);
            left -= most as u64;
        }
        if sum.get_state() != note.sum {
            return Ok(false);
        }
        self.file.set_len(note.written)?;
        self.file.seek(note.written);
        (self.written, self.sum) = (note.written, sum);
        Ok(true)
    }

    fn failed(&self, e: std::io::Error) -> Error {
        Error::local(format!("writing {}", self.path.display()), e)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.stays {
            // What cannot be removed is begun anew by the next restore to this name.
            let _ = disk::remove(&self.path);
            let _ = disk::remove(&self.note);
        }
    }
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
