//! Copies: into an empty folder, read back before they are reported.
//!
//! **Invariants**
//! - A copy is reported only after it was read back, checked and synced with the folders that name it.
//! - Files that are there are never overwritten.
//! - Each file is a snapshot of itself; the files of one copy are not of one moment.

use super::{Owner, Reader, ServiceFile};
use crate::verb::Usage;
use anyhow::{Context as _, bail};
use monolite_store::rusqlite::{Connection, backup};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Pages copied between two reports.
const PAGES_PER_STEP: i32 = 1024;

/// A verified copy of one service's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Copied {
    /// The service.
    pub(crate) service: String,
    /// The copy.
    pub(crate) file: String,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// The last commit in it.
    pub(crate) sequence: u64,
}

/// Makes the folder of a copy, 0700; one that is there must be empty.
pub(crate) fn into_empty(folder: &Path) -> crate::Result {
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Usage(format!("{} is not empty; a copy goes into an empty folder", folder.display())).into()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => make(folder),
        Err(e) => Err(e).with_context(|| format!("cannot look at {}", folder.display())),
    }
}

/// Copies one file below a folder, and proves the copy.
pub(crate) fn copy_to(
    folder: &Path,
    from: &ServiceFile,
    owner: Owner,
    step: &mut dyn FnMut(u64, u64),
) -> crate::Result<Copied> {
    let to = ServiceFile::of(folder, &from.service);
    let reader = Reader::open(&from.path, owner)?;
    let inner = to.path.parent().context("a service's file has a folder")?;
    make(inner)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to.path)?;
    // One snapshot for the whole copy: else each commit meanwhile would start it again.
    reader.connection().execute_batch("BEGIN")?;
    let sequence = reader.sequence()?;
    pages(reader.connection(), &to.path, step).with_context(|| format!("cannot copy {}", from.path.display()))?;
    drop(reader);
    let copied = verify(&to, sequence)?;
    for path in [to.path.as_path(), inner, folder] {
        File::open(path)?.sync_all()?;
    }
    Ok(copied)
}

fn pages(from: &Connection, to: &Path, step: &mut dyn FnMut(u64, u64)) -> crate::Result {
    let mut target = Connection::open(to)?;
    let copy = backup::Backup::new(from, &mut target)?;
    loop {
        let state = copy.step(PAGES_PER_STEP)?;
        let progress = copy.progress();
        step(u64::try_from(progress.pagecount - progress.remaining)?, u64::try_from(progress.pagecount)?);
        match state {
            backup::StepResult::Done => break,
            backup::StepResult::More => {}
            _ => bail!("another program locked it"),
        }
    }
    drop(copy);
    target.close().map_err(|(_, e)| e)?;
    Ok(())
}

/// Reads a copy back: it is whole, and of the right commit.
fn verify(copy: &ServiceFile, sequence: u64) -> crate::Result<Copied> {
    let reader = Reader::of_copy(&copy.path)?;
    if let Some(first) = reader.integrity()?.first() {
        bail!("the copy {} is damaged: {first}", copy.path.display());
    }
    let found = reader.sequence()?;
    if found != sequence {
        bail!("the copy {} is of commit {found}, not {sequence}", copy.path.display());
    }
    Ok(Copied { service: copy.service.clone(), file: copy.path.display().to_string(), bytes: copy.sizes().0, sequence })
}

fn make(folder: &Path) -> crate::Result {
    let made = DirBuilder::new().mode(0o700).recursive(true).create(folder);
    made.with_context(|| format!("cannot create {}", folder.display()))
}
