//! A restore that is under way, noted in the folder that it makes: called again in the same way it goes on.
//!
//! **Invariants**
//! - There before the first file is, gone after the last: a file beside it was restored by this restore, and is whole.
//! - It goes on to the commits that were found at its beginning, also where `latest` is later by now.

use super::restoring::Part;
use crate::verb::Usage;
use anyhow::Context as _;
use monolite_archive::{Place, Target};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FORMAT: u32 = 1;

/// What was begun.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unfinished {
    format: u32,
    /// How it was asked for.
    asked: Vec<String>,
    /// Service, history and commit of each file.
    files: Vec<(String, String, u64)>,
}

impl Unfinished {
    /// What was begun in this folder in this way.
    pub(crate) fn find(folder: &Path, asked: &[String]) -> crate::Result<Option<Unfinished>> {
        let path = path(folder);
        let bytes = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let found: Unfinished = serde_json::from_slice(&bytes).map_err(|_| {
            Usage(format!("{} cannot be read: choose another folder, or remove this one", path.display()))
        })?;
        Ok(Some(found).filter(|found| found.format == FORMAT && found.asked == asked))
    }

    /// Notes what begins, durably.
    pub(crate) fn begin(folder: &Path, asked: &[String], parts: &[Part]) -> crate::Result {
        let files = parts.iter().map(|part| (part.service.clone(), part.history(), part.sequence())).collect();
        let text = serde_json::to_vec_pretty(&Unfinished { format: FORMAT, asked: asked.to_vec(), files })?;
        let path = path(folder);
        let written = (|| -> std::io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let partial = path.with_extension("partial");
            let mut file = File::create(&partial)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&partial, &path)?;
            File::open(folder)?.sync_all()
        })();
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    /// Plans the same files.
    pub(crate) fn parts(&self, place: &Arc<dyn Place>) -> crate::Result<Vec<Part>> {
        let part = |(service, history, sequence): &(String, String, u64)| {
            Part::of(place, service, Some(history), Target::Sequence(*sequence))
        };
        self.files.iter().map(part).collect()
    }

    /// Refuses to work on a folder that has not all its files yet: services would begin anew beside it.
    pub(crate) fn refuse(folder: &Path) -> crate::Result {
        if !path(folder).exists() {
            return Ok(());
        }
        let text = format!(
            "a restore into {} was cut off, and not all files are there: call it again in the same way and it goes on; or, to go on \
             with what is there, remove {}",
            folder.display(),
            path(folder).display()
        );
        Err(Usage(text).into())
    }

    /// All files are there.
    pub(crate) fn end(folder: &Path) -> crate::Result {
        let path = path(folder);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("restore-unfinished.json")
}
