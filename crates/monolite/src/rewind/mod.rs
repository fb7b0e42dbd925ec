//! Rewinding one service: its file as it was at a moment takes the place of the one that serves.
//!
//! In the data folder, `rewind/<Service>/`:
//!
//! ```text
//! state.json    what is under way, until it is done (see `journal`)
//! next/         a data folder with the file that is to be put in place
//! replaced/     the same with the file that was replaced last, and `replaced.json`: `rewind --undo` puts it back
//! lock          held by who is at work
//! ```
//!
//! The service's folder and the one in `next/` change places in one step of the file system, so at each moment one of the
//! two lies under the service's name, whole. A mark in the folder, `rewind.id`, tells which one:
//!
//! | step | what is there | after a crash |
//! |---|---|---|
//! | preparing, ready | `state.json`, `next/` | the service's file was not touched: `next/` is removed |
//! | swapping, the service's folder without the mark | the same | as before; of an undo, `next/` is `replaced/` again |
//! | swapping, with the mark | the other folder in `next/` | finished: `next/` becomes `replaced/` |
//!
//! **Invariants**
//! - No step leaves the service's name without a whole file; a crash at any of them is settled by the next opening.
//! - What was acknowledged before the swap is in the file that was replaced, and in the archive; what was acknowledged after it is in
//!   the new one. Between them calls are refused as to be tried again.
//! - The file that is put in place has a new history, whose numbers go on above all that the replaced one had (ADR 22).

mod compare;
mod die;
mod exchange;
mod journal;
mod only_here;
mod prepare;
mod settle;
mod swap;

pub(crate) use exchange::exchange;
pub(crate) use settle::settle;

use crate::archive::Keeping;
use crate::control::{Request, Step};
use crate::folder::ServiceFile;
use crate::verb::Usage;
use anyhow::Context as _;
use monolite_archive::disk;
use monolite_runtime::Host;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The folder in a data folder.
pub(crate) const FOLDER: &str = "rewind";

/// What a rewind works on.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) host: &'a Host,
    /// The archive; an undo needs none.
    pub(crate) keeping: Option<&'a Keeping>,
    pub(crate) data: &'a Path,
}

/// What is wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// The service.
    pub(crate) service: String,
    /// To which moment, as it was typed.
    pub(crate) to: String,
    /// Which of its histories; none: the one that serves.
    pub(crate) history: Option<String>,
    /// Although other services are ahead of it then.
    pub(crate) accept: bool,
}

/// What would change; a rewind waits to be told to go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Preview {
    /// Names what was prepared.
    pub(crate) id: String,
    /// The service.
    pub(crate) service: String,
    /// The state that serves now.
    pub(crate) now: Side,
    /// The state that would.
    pub(crate) then: Side,
    /// Commits that are undone; none where the two are not of one history.
    pub(crate) commits: Option<u64>,
    /// The time that is undone, in milliseconds.
    pub(crate) undone_ms: Option<i64>,
    /// Each table.
    pub(crate) tables: Vec<Table>,
    /// Services that go on after that moment, and to when.
    pub(crate) ahead: Vec<(String, String)>,
    /// What could not be compared.
    pub(crate) note: Option<String>,
}

/// A state of a service's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Side {
    /// Its history.
    pub(crate) history: String,
    /// Its last commit.
    pub(crate) sequence: u64,
    /// The moment of that, where it is known.
    pub(crate) moment: Option<String>,
}

/// What becomes of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) table: String,
    /// Its rows now; none where it is not there.
    pub(crate) now: Option<u64>,
    /// Its rows then.
    pub(crate) then: Option<u64>,
    /// Rows by their primary keys, where that was cheap.
    pub(crate) rows: Option<Rows>,
}

/// Rows that change, told apart by their primary keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rows {
    /// Only then.
    pub(crate) come_back: u64,
    /// Only now.
    pub(crate) go: u64,
    /// In both, with other content.
    pub(crate) change: u64,
}

/// What was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Done {
    /// The service.
    pub(crate) service: String,
    /// The state that was replaced.
    pub(crate) replaced: Side,
    /// The state that was put in place.
    pub(crate) then: Side,
    /// The history that goes on from it.
    pub(crate) history: String,
    /// The commit that begins it.
    pub(crate) sequence: u64,
    /// For how long the service refused calls, in milliseconds.
    pub(crate) away_ms: u64,
    /// Where the replaced file is.
    pub(crate) kept: PathBuf,
    /// Whether its new history is archived; without an archive too, there is nothing to miss.
    #[serde(default = "yes")]
    pub(crate) kept_on: bool,
    /// What the operator should know.
    pub(crate) note: Option<String>,
}

fn yes() -> bool {
    true
}

/// Answers what a command asks of rewinds, in the server or where none runs.
pub(crate) fn answer(
    ground: Ground<'_>,
    request: Request,
    progress: &mut dyn FnMut(Step),
) -> crate::Result<Box<RawValue>> {
    Ok(match request {
        Request::Rewind { wish } => to_raw_value(&prepare::prepare(ground, &wish, progress)?)?,
        Request::Undo { service } => to_raw_value(&prepare::prepare_undo(ground, &service)?)?,
        Request::Swap { service, id } => to_raw_value(&swap::swap(ground, &service, &id)?)?,
        Request::Drop { service, id } => to_raw_value(&swap::drop_prepared(ground.data, &service, &id)?)?,
        Request::Forget { service, accept } => to_raw_value(&swap::forget(ground, &service, accept)?)?,
        other => anyhow::bail!("{other:?} is no rewind"),
    })
}

/// Where one service's rewind lies.
#[derive(Debug, Clone)]
struct Places {
    service: String,
    data: PathBuf,
    root: PathBuf,
}

impl Places {
    fn of(data: &Path, service: &str) -> Self {
        Places { service: service.to_owned(), data: data.to_owned(), root: data.join(FOLDER).join(service) }
    }

    /// Keeps others from this service's rewinds; none where somebody does.
    fn lock(&self) -> crate::Result<Option<File>> {
        disk::make(&self.root).with_context(|| format!("cannot make {}", self.root.display()))?;
        let path = self.root.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(file))
    }

    /// The same; it is an error where somebody does.
    fn alone(&self) -> crate::Result<File> {
        let busy = || Usage(format!("another rewind of {} is under way", self.service));
        Ok(self.lock()?.ok_or_else(busy)?)
    }

    /// The folder of the service that serves.
    fn live(&self) -> PathBuf {
        self.data.join(&self.service)
    }

    fn live_file(&self) -> PathBuf {
        ServiceFile::of(&self.data, &self.service).path
    }

    fn next(&self) -> PathBuf {
        self.root.join("next")
    }

    fn next_folder(&self) -> PathBuf {
        self.next().join(&self.service)
    }

    fn next_file(&self) -> PathBuf {
        ServiceFile::of(&self.next(), &self.service).path
    }

    fn replaced(&self) -> PathBuf {
        self.root.join("replaced")
    }

    /// Where a replaced file goes once another one is kept in its stead.
    fn outdated(&self) -> PathBuf {
        self.root.join("outdated")
    }
}
