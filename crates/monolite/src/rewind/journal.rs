//! The journal of a rewind: what is under way, in `state.json`; and what was replaced, in `replaced.json`.
//!
//! **Invariants**
//! - Written whole or not at all, and durable before the step that it announces.
//! - One that cannot be read is an error, never nothing: a person looks at the folder.

use super::exchange::sync;
use super::{Places, Side};
use anyhow::Context as _;
use monolite_archive::disk;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;

/// What is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    format: u32,
    /// Names this rewind; the mark in the folder that it puts in place.
    pub(super) id: String,
    pub(super) step: Step,
    /// Whether the replaced file is put back.
    pub(super) undo: bool,
    /// Above which commit the new history begins at least.
    pub(super) above: u64,
    /// The state that is to be put in place.
    pub(super) then: Side,
    /// What will be in `next/` after the swap; known when that begins.
    pub(super) replaced: Option<Replaced>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    /// The file is restored beside.
    Preparing,
    /// It waits to be told to go on.
    Ready,
    /// The folders change places.
    Swapping,
}

/// What is known of the file in `replaced/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replaced {
    format: u32,
    /// The state that it is in.
    pub(super) state: Side,
    /// The state that took its place.
    pub(super) by: Side,
    /// Whether the archive had all of it when it was replaced; none where that is not known.
    #[serde(default)]
    pub(super) archived: Option<bool>,
}

impl Journal {
    pub(super) fn new(undo: bool, above: u64, then: Side) -> crate::Result<Self> {
        let mut random = [0u8; 16];
        File::open("/dev/urandom")
            .and_then(|mut source| std::io::Read::read_exact(&mut source, &mut random))
            .context("no random numbers")?;
        let id = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Journal { format: FORMAT, id, step: Step::Preparing, undo, above, then, replaced: None })
    }

    pub(super) fn write(&self, places: &Places) -> crate::Result {
        write(&path(places), self)
    }

    pub(super) fn read(places: &Places) -> crate::Result<Option<Journal>> {
        let found: Option<Journal> = read(&path(places))?;
        if let Some(journal) = &found
            && journal.format != FORMAT
        {
            anyhow::bail!("{} is of format {}, written by a newer program", path(places).display(), journal.format);
        }
        Ok(found)
    }

    pub(super) fn remove(places: &Places) -> crate::Result {
        match disk::remove(&path(places)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("cannot remove {}", path(places).display()))
            }
            _ => sync(&places.root),
        }
    }

    /// Leaves the mark in a folder.
    pub(super) fn mark(&self, folder: &Path) -> crate::Result {
        write_bytes(&mark(folder), self.id.as_bytes())
    }

    /// Whether a folder has the mark of this rewind.
    pub(super) fn is_marked(&self, folder: &Path) -> bool {
        std::fs::read_to_string(mark(folder)).is_ok_and(|id| id == self.id)
    }
}

/// Takes the mark off a folder; one that stays says nothing, since its rewind is not under way.
pub(super) fn unmark(folder: &Path) {
    let _ = disk::remove(&mark(folder));
}

impl Replaced {
    /// As long as nobody asked, the archive does not have all of it.
    pub(super) fn new(state: Side, by: Side) -> Self {
        Replaced { format: FORMAT, state, by, archived: Some(false) }
    }

    pub(super) fn write(&self, within: &Path) -> crate::Result {
        write(&within.join("replaced.json"), self)
    }

    pub(super) fn read(within: &Path) -> crate::Result<Option<Replaced>> {
        read(&within.join("replaced.json"))
    }
}

fn path(places: &Places) -> PathBuf {
    places.root.join("state.json")
}

fn mark(folder: &Path) -> PathBuf {
    folder.join("rewind.id")
}

fn read<T: DeserializeOwned>(path: &Path) -> crate::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => {
            Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("cannot read {}", path.display()))?))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn write(path: &Path, value: &impl Serialize) -> crate::Result {
    write_bytes(path, &serde_json::to_vec_pretty(value)?)
}

fn write_bytes(path: &Path, bytes: &[u8]) -> crate::Result {
    let folder = path.parent().context("a journal lies in a folder")?;
    let partial = path.with_extension("partial");
    let written = disk::make(folder).and_then(|()| disk::write_whole(path, &partial, bytes));
    written.with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_read_as_it_was_written_and_a_broken_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::of(folder.path(), "Notes");
        assert_eq!(Journal::read(&places).unwrap(), None);
        let new = || Journal::new(true, 7, Side { history: "a".into(), sequence: 3, moment: None }).unwrap();
        let journal = Journal { step: Step::Swapping, ..new() };
        journal.write(&places).unwrap();
        assert_eq!(Journal::read(&places).unwrap(), Some(journal.clone()));
        journal.mark(folder.path()).unwrap();
        assert!(journal.is_marked(folder.path()));
        assert!(!new().is_marked(folder.path()));
        std::fs::write(path(&places), "{").unwrap();
        assert!(Journal::read(&places).is_err());
        Journal { format: 2, ..journal }.write(&places).unwrap();
        assert!(Journal::read(&places).unwrap_err().to_string().contains("newer"));
        Journal::remove(&places).unwrap();
        assert_eq!(Journal::read(&places).unwrap(), None);
    }
}
