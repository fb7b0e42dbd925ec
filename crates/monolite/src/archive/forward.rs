//! Rolling a file forward: what its archive has newest takes the place of a file that is behind it.
//!
//! The file is restored into a folder beside the service's own, then the two folders change places in one step.
//!
//! **Invariants**
//! - At each moment a whole file lies under the service's name: the old one or the new one.
//! - Nothing is lost: what waited in the spool is carried to the archive first, the old folder is kept beside.
//! - No store has the file: its lock is held until the folders have changed places.

use super::history;
use crate::folder::ServiceFile;
use crate::rewind::exchange;
use anyhow::{Context as _, bail};
use monolite_archive::{Check, History, Place, Progress, Target};
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::Serialize;
use std::fs::{DirBuilder, File};
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the new folder is made, before the service's name.
const MAKING: &str = ".forward-";

/// A file that was rolled forward.
#[derive(Debug, Serialize)]
pub(crate) struct Forwarded {
    pub(crate) service: String,
    pub(crate) sequence: u64,
    pub(crate) moment: String,
    pub(crate) bytes: u64,
    /// Where the file of before is.
    pub(crate) kept: PathBuf,
}

impl Forwarded {
    /// For people. `from`: the commit that the file was at.
    pub(crate) fn told(&self, from: u64) -> String {
        format!(
            "{} from commit {from} to commit {} of {}; the file of before is in {}",
            self.service,
            self.sequence,
            self.moment,
            self.kept.display()
        )
    }
}

/// Brings a file to the newest commit of its history (`id`, else the one begun last). No server may run on it.
pub(crate) fn roll_forward(
    place: &Arc<dyn Place>,
    data: &Path,
    service: &str,
    id: Option<&str>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> crate::Result<Forwarded> {
    let data = std::path::absolute(data)?;
    let file = ServiceFile::of(&data, service).path;
    let folder = file.parent().context("a service's file has a folder")?;
    let history = history(place, service, id)?;
    let _lock = lock(&file)?;
    carry(&history, folder)?;
    let making = data.join(format!("{MAKING}{service}"));
    let made = making.join(file.file_name().context("a service's file has a name")?);
    clear(&making, &made)?;
    let restored = monolite_archive::restore(&history, Target::Latest, &made, Check::Full, progress)
        .with_context(|| format!("{service} was not rolled forward; nothing was changed"))?;
    let kept = free_name(&data, service, restored.at_ms)?;
    // From here on the name of what was made is that of what is kept: after the exchange it is the old folder.
    std::fs::rename(&making, &kept).with_context(|| format!("cannot name {}", kept.display()))?;
    exchange(&kept, folder).with_context(|| format!("what the archive has lies in {}, and", kept.display()))?;
    Ok(Forwarded {
        service: service.to_owned(),
        sequence: restored.sequence,
        moment: super::restoring::moment(restored.at_ms),
        bytes: restored.bytes,
        kept,
    })
}

/// The lock that a store has on its file.
fn lock(file: &Path) -> crate::Result<File> {
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    let folder = file.parent().context("a service's file has a folder")?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let held = rustix::fs::open(Path::new(&name), flags, Mode::from_raw_mode(0o600));
    let held = File::from(held.with_context(|| format!("cannot lock {}", file.display()))?);
    if rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!("{} is in use: stop its server first", file.display());
    }
    Ok(held)
}

/// What the last server could not archive any more.
fn carry(history: &History, folder: &Path) -> crate::Result {
    let id = history.id();
    monolite_archive::carry_spool(history, id, &folder.join("spool"))
        .with_context(|| format!("what waits in {} cannot be archived", folder.join("spool").display()))?;
    Ok(())
}

/// A folder to make the file in. Of one that a kill left, a file that was whole is made anew: the archive may have more since;
/// one that was not goes on where it was. Neither ever held anything that is not archived.
fn clear(making: &Path, made: &Path) -> crate::Result {
    match std::fs::remove_file(made) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("cannot remove {}", made.display()));
        }
        _ => {}
    }
    let folder = DirBuilder::new().recursive(true).mode(0o700).create(making);
    folder.with_context(|| format!("cannot make {}", making.display()))
}

/// A name for the folder of before: after the moment to which the service was rolled forward.
fn free_name(data: &Path, service: &str, at_ms: i64) -> crate::Result<PathBuf> {
    const NAMES_MAX: u32 = 1_000;
    let moment = super::restoring::moment(at_ms).replace(':', "");
    let name = |n: u32| {
        let again = if n == 0 { String::new() } else { format!(".{n}") };
        data.join(format!("{service}.before-{moment}{again}"))
    };
    let free = (0..NAMES_MAX).map(name).find(|path| std::fs::symlink_metadata(path).is_err());
    free.with_context(|| format!("too many folders of before lie in {}: remove some", data.display()))
}
