//! What a crash left of a rewind, before anything is opened.
//!
//! **Invariants**
//! - A swap that happened is finished, one that did not is undone; the service's file is whole either way.
//! - It may be cut off and run again.

use super::exchange::{remove, sync};
use super::journal::{Journal, Step, unmark};
use super::{FOLDER, Places, die};
use anyhow::Context as _;
use monolite_archive::disk;
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
    let became = match end(places, &journal)? {
        End::Finished => "is done",
        End::GivenUp => "was given up; its file is as it was",
    };
    Ok(Some(format!("the rewind of {} that was cut off {became}", places.service)))
}

/// What became of what was under way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The swap had happened.
    Finished,
    /// It had not.
    GivenUp,
}

/// Ends what an earlier rewind left, in the server too: where it swapped and could not tidy up, `next/` is the file that was
/// replaced.
pub(super) fn end(places: &Places, journal: &Journal) -> crate::Result<End> {
    if journal.step == Step::Swapping && journal.is_marked(&places.live()) {
        finish(places, journal)?;
        return Ok(End::Finished);
    }
    give_up(places, journal)?;
    Ok(End::GivenUp)
}

/// The other folder lies in `next/`: keeps it as what was replaced.
pub(super) fn finish(places: &Places, journal: &Journal) -> crate::Result {
    let (next, replaced, outdated) = (places.next(), places.replaced(), places.outdated());
    if next.exists() {
        if replaced.exists() {
            remove(&outdated)?;
            disk::rename(&replaced, &outdated).with_context(|| format!("cannot move {}", replaced.display()))?;
        }
        if let Some(what) = &journal.replaced {
            what.write(&next)?;
        }
        die::here("moved");
        disk::rename(&next, &replaced).with_context(|| format!("cannot move {}", next.display()))?;
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
            disk::rename(&next, &replaced).with_context(|| format!("cannot move {}", next.display()))?;
            sync(&places.root)?;
        }
        true => {}
        false => remove(&next)?,
    }
    Journal::remove(places)
}

#[cfg(test)]
mod tests {
    use super::super::Side;
    use super::super::journal::Replaced;
    use super::*;

    #[test]
    fn what_was_replaced_is_kept_where_the_swap_happened_and_its_tidying_up_did_not() {
        let data = tempfile::tempdir().unwrap();
        let places = Places::of(data.path(), "Documents");
        std::fs::create_dir_all(places.live()).unwrap();
        std::fs::create_dir_all(places.next_folder()).unwrap();
        std::fs::write(places.next_file(), "what was there before").unwrap();
        let side = Side { history: "00".to_owned(), sequence: 7, moment: None };
        let mut journal = Journal::new(false, 7, side.clone()).unwrap();
        (journal.step, journal.replaced) = (Step::Swapping, Some(Replaced::new(side.clone(), side)));
        journal.write(&places).unwrap();
        journal.mark(&places.live()).unwrap();
        assert_eq!(end(&places, &journal).unwrap(), End::Finished);
        let kept = crate::folder::ServiceFile::of(&places.replaced(), "Documents").path;
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "what was there before");
        assert!(!places.next().exists() && Journal::read(&places).unwrap().is_none());
        // What was only prepared goes.
        std::fs::create_dir_all(places.next_folder()).unwrap();
        journal.step = Step::Ready;
        journal.write(&places).unwrap();
        assert_eq!(end(&places, &journal).unwrap(), End::GivenUp);
        assert!(!places.next().exists() && places.replaced().exists());
    }
}
