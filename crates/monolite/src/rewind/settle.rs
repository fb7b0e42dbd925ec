//! What a crash left of a rewind, before anything is opened.
//!
//! **Invariants**
//! - A swap that happened is finished, one that did not is undone; the service's file is whole either way.
//! - It may be cut off and run again.

use super::exchange::{remove, sync};
use super::journal::{Journal, Step, unmark};
use super::{FOLDER, Places, die};
use anyhow::Context as _;
use monolite_runtime::StartError;
use std::path::Path;

/// Settles what is under way in a data folder that nobody has open; answers what was done, for people.
pub(crate) fn settle(data: &Path) -> crate::Result<Vec<String>> {
    let root = data.join(FOLDER);
    let entries = match std::fs::read_dir(&root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        // The first look into a data folder: what to do about a refusal is said as for all others.
        Err(source) => {
            return Err(StartError::Io { what: format!("cannot look into {}", root.display()), source }.into());
        }
    };
    let mut told = Vec::new();
    for entry in entries {
        let Ok(service) = entry?.file_name().into_string() else { continue };
        told.extend(one(&Places::of(data, &service))?);
    }
    Ok(told)
}

fn one(places: &Places) -> crate::Result<Option<String>> {
    if !places.root.is_dir() {
        return Ok(None);
    }
    // Where a living process is at it, this one will not get the service's file either.
    let Some(_alone) = places.lock()? else { return Ok(None) };
    let Some(journal) = Journal::read(places)? else { return Ok(None) };
    if journal.step == Step::Swapping && journal.is_marked(&places.live()) {
        finish(places, &journal)?;
        return Ok(Some(format!("the rewind of {} that was cut off is done", places.service)));
    }
    give_up(places, &journal)?;
    Ok(Some(format!("the rewind of {} that was cut off was given up; its file is as it was", places.service)))
}

/// The other folder lies in `next/`: keeps it as what was replaced.
pub(super) fn finish(places: &Places, journal: &Journal) -> crate::Result {
    let (next, replaced, outdated) = (places.next(), places.replaced(), places.outdated());
    if next.exists() {
        if replaced.exists() {
            remove(&outdated)?;
            std::fs::rename(&replaced, &outdated).with_context(|| format!("cannot move {}", replaced.display()))?;
        }
        if let Some(what) = &journal.replaced {
            what.write(&next)?;
        }
        die::here("moved");
        std::fs::rename(&next, &replaced).with_context(|| format!("cannot move {}", next.display()))?;
        sync(&places.root)?;
        die::here("kept");
    }
    remove(&outdated)?;
    Journal::remove(places)?;
    unmark(&places.live());
    Ok(())
}

/// The service's file was not touched: nothing is left of what was prepared.
pub(super) fn give_up(places: &Places, journal: &Journal) -> crate::Result {
    let (next, replaced) = (places.next(), places.replaced());
    match journal.undo {
        true if next.exists() => {
            unmark(&places.next_folder());
            std::fs::rename(&next, &replaced).with_context(|| format!("cannot move {}", next.display()))?;
            sync(&places.root)?;
        }
        true => {}
        false => remove(&next)?,
    }
    Journal::remove(places)
}
