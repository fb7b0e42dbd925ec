//! Looks at a crash image as the next start of the program would: the real store opens it, the oracle judges it.
//!
//! **Invariants**
//! - An image is judged twice: through the store, and by SQLite's own integrity check behind its back.
//! - The store that opened it can write, and that write is there too.

use crate::disk::{Disk, Fate, Image, Note};
use crate::vfs;
use crate::work::{End, Found, Knowledge, add, config, migrations};
use anyhow::{Context, Result, ensure};
use monolite_store::rusqlite::{Connection, OpenFlags};
use monolite_store::{Store, Ticket};
use std::fs;
use std::path::{Path, PathBuf};

/// The file that every image holds.
pub const DATABASE: &str = "work.db";

/// Writes an image into a folder, in place of what is there.
///
/// # Errors
/// Where it cannot be written.
pub fn lay_out(image: &Image, folder: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal", ".mark"] {
        let name = format!("{DATABASE}{suffix}");
        match image.get(&name) {
            Some(bytes) => fs::write(folder.join(name), bytes)?,
            None => drop(fs::remove_file(folder.join(name))),
        }
    }
    Ok(())
}

/// What the look itself does to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Opens and judges.
    Only,
    /// Then writes once more, and judges again after another opening.
    Write,
}

/// Judges what lies in a folder.
///
/// # Errors
/// What does not hold.
pub fn check(folder: &Path, known: &Knowledge, look: Look) -> Result<Found> {
    let path = folder.join(DATABASE);
    let store = open(&path, None)?;
    let found = Found::read(&store).context("the state cannot be read")?;
    known.judge(&found)?;
    if look == Look::Write {
        let op = u64::from(u32::MAX) * 4;
        let mut known = known.clone();
        known.learn(Note::Sent(op));
        let written = store
            .write_blocking_with(Ticket::label("rig"), move |tx| add(tx, op, End::Well))
            .context("the store does not write after recovery")?;
        known.learn(Note::Answered(op, Fate::Done { sequence: written.sequence, place: written.place }));
        store.abandon();
        let store = open(&path, None).context("the second opening")?;
        let found = Found::read(&store).context("the state cannot be read")?;
        known.judge(&found).context("after one more write")?;
        store.abandon();
    } else {
        store.abandon();
    }
    integrity(&path)?;
    Ok(found)
}

/// Opens an image over the rig's VFS, so that recovery itself can be cut; the folder's disk must be watched.
///
/// # Errors
/// What the store answers.
pub fn recover(folder: &Path) -> Result<()> {
    let store = open(&folder.join(DATABASE), Some(vfs::register()))?;
    Found::read(&store).context("the state cannot be read")?;
    store.abandon();
    Ok(())
}

/// Watches a folder that an image was laid out in.
///
/// # Errors
/// Where the folder is gone.
pub fn watch(folder: &Path) -> Result<std::sync::Arc<Disk>> {
    Ok(Disk::watch(folder)?)
}

fn open(path: &PathBuf, vfs: Option<&'static str>) -> Result<Store> {
    Store::open(path, config(vfs), migrations(3)).context("the store does not open")
}

fn integrity(path: &Path) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let c = Connection::open_with_flags(path, flags)?;
    let answer: String = c.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0))?;
    ensure!(answer == "ok", "SQLite's integrity check: {answer}");
    Ok(())
}
