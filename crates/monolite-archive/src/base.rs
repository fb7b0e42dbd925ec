//! A base copy of a store that is being written: all its pages, read a few at a time, under what was captured meanwhile.
//!
//! Let `from` be a commit from which on everything is captured. Pages are read in short readings, each of some later
//! moment, into a scratch file. When all are read, let `to` be a commit that is archived and that no reading was behind. A
//! page that no commit after `from` up to `to` changed is the same at all these moments, and was read so; every other is in
//! the segments between, which are laid over it. So the whole is the file at `to`.
//!
//! **Invariants**
//! - No reading holds a snapshot for longer than some tens of milliseconds; memory is one piece.
//! - The scratch file is synced before the note beside it says how far it goes: a copy goes on after a crash.

use crate::disk::{self, Written};
use crate::history::{History, Segment};
use crate::layout::{BASES, SegmentName};
use crate::ltx::{Header, lock_page};
use crate::read;
use crate::{Error, Kind, Result};
use monolite_store::PageReader;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of one reading.
pub(crate) const PIECE: u64 = 8 << 20;
/// Bytes between two notes of how far the copy goes.
const NOTED: u64 = 16 << 20;

/// A copy on its way.
pub(crate) struct Copying {
    note: Note,
    file: Option<Written>,
    scratch: PathBuf,
    /// The pages of a file so small that one reading has them all.
    memory: Vec<u8>,
    since_note: u64,
}

/// How far a copy goes, as it is noted beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    history: String,
    /// Everything after this commit is captured.
    from: u64,
    page_size: u32,
    pages: u32,
    next: u32,
    /// The newest commit that any reading saw.
    seen: u64,
    /// The writer epoch of that.
    epoch: u64,
}

impl Copying {
    /// Begins a copy, or goes on with one that a crash ended, where everything since is captured (`run` says from where).
    pub(crate) fn begin(scratch: &Path, history: &str, from: u64, run: u64) -> Result<Copying> {
        if let Some(going_on) = Copying::left(scratch, history, run) {
            return Ok(going_on);
        }
        discard(scratch);
        let note = Note { history: history.to_owned(), from, page_size: 0, pages: 0, next: 1, seen: from, epoch: 0 };
        Ok(Copying { note, file: None, scratch: scratch.to_owned(), memory: Vec::new(), since_note: 0 })
    }

    fn left(scratch: &Path, history: &str, run: u64) -> Option<Copying> {
        let note: Note = serde_json::from_slice(&std::fs::read(scratch.join("base.json")).ok()?).ok()?;
        let file = Written::open(&scratch.join("base.pages")).ok()?;
        let sound = note.history == history && note.from >= run && note.pages > 0;
        sound.then(|| Copying {
            note,
            file: Some(file),
            scratch: scratch.to_owned(),
            memory: Vec::new(),
            since_note: 0,
        })
    }

    /// The commit after which everything has to be captured.
    pub(crate) fn from(&self) -> u64 {
        self.note.from
    }

    /// The commit that has to be archived before the base can be made.
    pub(crate) fn seen(&self) -> u64 {
        self.note.seen
    }

    /// Pages read, and pages in all.
    pub(crate) fn progress(&self) -> (u32, u32) {
        (self.note.next - 1, self.note.pages)
    }

    /// Bytes of the pages.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.note.pages) * u64::from(self.note.page_size)
    }

    /// Reads one piece. Answers the bytes of it; `None` once all are read.
    pub(crate) fn step(&mut self, reader: &PageReader, piece: &mut Vec<u8>) -> Result<Option<u64>> {
        let note = &mut self.note;
        if note.pages > 0 && note.next > note.pages {
            return Ok(None);
        }
        // Of a file whose size of a page is not known yet the least that can be.
        let size = if note.page_size == 0 { 4096 } else { note.page_size };
        let seen = reader.read(note.next, (PIECE / u64::from(size)).max(1) as u32, piece).map_err(Error::from)?;
        if note.pages == 0 {
            (note.pages, note.page_size) = (seen.pages_in_file, seen.page_size);
        }
        (note.seen, note.epoch) = (note.seen.max(seen.sequence), seen.epoch as u64);
        let whole = note.next == 1 && seen.read == note.pages;
        let at = u64::from(note.next - 1) * u64::from(note.page_size);
        if whole {
            std::mem::swap(&mut self.memory, piece);
            note.next = note.pages + 1;
            return Ok(Some(self.memory.len() as u64));
        }
        // Where the file has become shorter, a commit cut the rest off: the segments since then have what came in its place.
        note.next = if seen.read == 0 { note.pages + 1 } else { note.next + seen.read };
        let scratch = &self.scratch;
        let context = |e| Error::io(format!("the copy in {}", scratch.display()), e);
        if self.file.is_none() {
            self.file = Some(Written::replace(&scratch.join("base.pages")).map_err(context)?);
        }
        let file = self.file.as_ref().expect("opened above");
        file.write_all_at(piece, at).map_err(context)?;
        self.since_note += piece.len() as u64;
        if self.since_note >= NOTED {
            self.since_note = 0;
            file.sync().map_err(context)?;
            let noted = serde_json::to_vec(&self.note).expect("plain fields");
            let partial = scratch.join("base.json.partial");
            let written = Written::replace(&partial).and_then(|mut f| f.write_all(&noted).and_then(|()| f.sync()));
            written.and_then(|()| disk::rename(&partial, &scratch.join("base.json"))).map_err(context)?;
        }
        Ok(Some(piece.len() as u64))
    }

    /// Puts the base: the pages read, under segments that lead from `from` to a commit that is not before `seen`. `go_on` is asked
    /// now and then, and may end it.
    pub(crate) fn finish(
        mut self,
        history: &History,
        over: &[Segment],
        at_ms: i64,
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<(Segment, Header)> {
        let (last, note) = (over.last().map_or(self.note.from, |s| s.name.last), &self.note);
        if last < note.seen {
            let text = format!("a copy that saw commit {} cannot become a base of commit {last}", note.seen);
            return Err(Error::invalid(text));
        }
        let mut merge = if over.is_empty() { None } else { Some(read::open(history, over)?) };
        let header = match &merge {
            Some(merge) => Header { first: 1, ..merge.header() },
            None => {
                let (page_size, pages, epoch) = (note.page_size, note.pages, note.epoch);
                Header { page_size, pages, first: 1, last, at_ms, epoch }
            }
        };
        let name = SegmentName { first: 1, last: header.last };
        let mut writing = history.write(BASES, header)?.spilling_to(&self.scratch);
        let mut page = vec![0u8; note.page_size as usize];
        let mut below = self.below()?;
        let mut above = merge.as_mut().map_or(Ok(None), |merge| merge.next())?;
        for number in 1..=header.pages {
            if number % 256 == 1 {
                go_on()?;
            }
            let there = self.note.pages >= number && below.fill(&mut page)?;
            match &mut merge {
                Some(merge) if above == Some(number) => {
                    writing.page(number, merge.page())?;
                    above = merge.next()?;
                }
                _ if number == lock_page(header.page_size) => {}
                _ if there => writing.page(number, &page)?,
                _ => {
                    let text = format!("page {number} was neither read nor captured");
                    return Err(Error::new(Kind::Damaged, text));
                }
            }
        }
        // To the end, whose word is that all inputs were sound.
        while let Some(merge) = merge.as_mut().filter(|_| above.is_some()) {
            above = merge.next()?;
        }
        let bytes = writing.finish()?;
        go_on()?; // under the scratch folder's name another file's may lie by now
        discard(&self.scratch);
        Ok((Segment { level: BASES, name, bytes, created_ms: header.at_ms }, header))
    }

    /// The pages that were read, in order.
    fn below(&mut self) -> Result<Below> {
        let context = |e| Error::io("reading a copy back", e);
        let whole = u64::from(self.note.pages) * u64::from(self.note.page_size);
        let from: Box<dyn Read> = match &self.file {
            None => Box::new(std::io::Cursor::new(std::mem::take(&mut self.memory))),
            Some(file) => {
                file.set_len(whole).map_err(context)?; // what was cut off meanwhile is zeros here, and never used
                let file = File::open(self.scratch.join("base.pages")).map_err(context)?;
                Box::new(std::io::BufReader::with_capacity(1 << 20, file))
            }
        };
        Ok(Below(from))
    }
}

struct Below(Box<dyn Read>);

impl Below {
    fn fill(&mut self, page: &mut [u8]) -> Result<bool> {
        self.0.read_exact(page).map_err(|e| Error::io("reading a copy back", e))?;
        Ok(true)
    }
}

/// Removes what a copy left.
pub(crate) fn discard(scratch: &Path) {
    for name in ["base.json", "base.json.partial", "base.pages"] {
        let _ = disk::remove(&scratch.join(name)); // the next copy writes over it
    }
}
