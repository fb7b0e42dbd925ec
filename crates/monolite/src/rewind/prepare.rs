//! Before a rewind: the file as it was is restored beside, and what would change is shown.
//!
//! **Invariants**
//! - The service's file is read, nothing of it is changed.
//! - Memory is that of a restore, whatever the size of the file.

use super::exchange::{probe, remove};
use super::journal::{Journal, Replaced, Step};
use super::{Ground, Places, Preview, Side, Table, Wish, compare, die, only_here};
use crate::archive::{Wanted, restoring, wanted};
use crate::control;
use crate::explain;
use crate::sql;
use crate::verb::Usage;
use monolite_archive::Phase;
use monolite_store::{State, Store};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// How long is waited until what another service committed last is in the archive, where that is looked for.
const OTHERS_WAIT: Duration = Duration::from_secs(2);
/// What the numbers of a new history leave room for where the last commit of a damaged file is not known.
const UNKNOWN_COMMITS: u64 = 1 << 20;

/// Restores the file of that moment beside the one that serves, and compares them. `swap` goes on from there.
pub(super) fn prepare(
    ground: Ground<'_>,
    wish: &Wish,
    progress: &mut dyn FnMut(control::Step),
) -> crate::Result<Preview> {
    let service = &wish.service;
    let store = ground.store(service)?;
    let no_archive = || Usage("archive.to is \"off\": there is no history here to rewind to".to_owned());
    let keeping = ground.keeping.ok_or_else(no_archive)?;
    let wanted = wanted(&wish.to)?;
    let damaged = is_damaged(&store);
    if !damaged {
        keeping.catch_up(service)?;
    }
    let place = keeping.place();
    let serves = (!damaged && !matches!(wanted, Wanted::Cut(_))).then(|| monolite_archive::hex(&store.history()));
    let part = restoring::one(place, service, wish.history.as_ref().or(serves.as_ref()).map(String::as_str), &wanted)?;
    for other in ground.host.services().filter(|other| other != service) {
        // What they committed last is looked for in the archive; one that is not archived is told by its own status.
        let _ = keeping.catch_up_within(other, OTHERS_WAIT);
    }
    let ahead = restoring::ahead(place, &part)?;
    if !ahead.is_empty() && !wish.accept {
        return Err(Usage(restoring::does_not_fit(&part, &ahead, "rewinds")).into());
    }
    let places = Places::of(ground.data, service);
    let _alone = places.alone()?;
    refuse(ground, &places)?;
    probe(&places.live(), &places.root)?;
    let then = Side { history: part.history(), sequence: part.sequence(), moment: Some(restoring::moment(part.at_ms)) };
    let above = part.newest.0 + if damaged { UNKNOWN_COMMITS } else { 0 };
    let mut journal = Journal::new(false, above, then.clone())?;
    clear(&places)?;
    journal.write(&places)?;
    die::here("preparing");
    let mut told = |step: monolite_archive::Progress| {
        let doing = if step.phase == Phase::Checking { "checking" } else { "restoring" };
        progress(control::Step { what: format!("{doing} {service}"), done: step.done, total: step.whole });
        ControlFlow::Continue(())
    };
    let restored = part.restore(&places.next(), &mut told);
    let restored = match restored {
        Ok(restored) => restored,
        Err(e) => {
            let _ = clear(&places); // what cannot be removed now is removed by the next one
            return Err(e);
        }
    };
    progress(control::Step { what: format!("comparing {service}"), done: part.bytes(), total: part.bytes() });
    let now = side(&store, part.newest);
    let same = now.history == then.history && !damaged;
    let mut preview = Preview {
        id: journal.id.clone(),
        service: service.clone(),
        commits: same.then(|| now.sequence.saturating_sub(then.sequence)),
        undone_ms: same.then(|| part.newest.1 - part.at_ms),
        now,
        then,
        tables: Vec::new(),
        ahead: ahead.into_iter().map(|(service, at)| (service, restoring::moment(at))).collect(),
        note: None,
    };
    (preview.tables, preview.note) = compared(&store, &places.live_file(), &places.next_file());
    if let Some(why) = &part.gap {
        let gap = format!("the newest archived commits of {service} cannot be restored: {why}");
        preview.note = Some(preview.note.map_or(gap.clone(), |note| format!("{note}; {gap}")));
    }
    if !restored.avoided.is_empty() {
        let damaged = format!("damaged in the archive, and avoided: {}", restored.avoided.join(", "));
        preview.note = Some(preview.note.map_or(damaged.clone(), |note| format!("{note}; {damaged}")));
    }
    journal.step = Step::Ready;
    journal.write(&places)?;
    die::here("ready");
    Ok(preview)
}

/// Looks at the file that was replaced last. `swap` puts it back.
pub(super) fn prepare_undo(ground: Ground<'_>, service: &str) -> crate::Result<Preview> {
    let store = ground.store(service)?;
    let places = Places::of(ground.data, service);
    let _alone = places.alone()?;
    if let Some(before) = Journal::read(&places)? {
        super::settle::end(&places, &before)?;
    }
    let nothing = || Usage(format!("no replaced file of {service} is kept: there is nothing to undo"));
    let replaced = Replaced::read(&places.replaced())?.ok_or_else(nothing)?;
    probe(&places.live(), &places.root)?;
    let above = if is_damaged(&store) { beyond(ground, service, &replaced) } else { 0 };
    let mut journal = Journal::new(true, above, replaced.state.clone())?;
    let kept = crate::folder::ServiceFile::of(&places.replaced(), service).path;
    let (tables, note) = compared(&store, &places.live_file(), &kept);
    journal.step = Step::Ready;
    journal.write(&places)?;
    Ok(Preview {
        id: journal.id,
        service: service.to_owned(),
        now: Side { moment: None, ..side(&store, (0, 0)) },
        then: replaced.state,
        commits: None,
        undone_ms: None,
        tables,
        ahead: Vec::new(),
        note,
    })
}

/// A number above those of a file that cannot be read: above all that is known of the service, and as many more as may not be.
fn beyond(ground: Ground<'_>, service: &str, replaced: &Replaced) -> u64 {
    let newest = |place| -> crate::Result<u64> {
        let mut newest = 0;
        for (history, _) in crate::archive::histories(place, service)? {
            newest = history.segments()?.iter().map(|segment| segment.name.last).fold(newest, u64::max);
        }
        Ok(newest)
    };
    // Without an answer of the archive there is what the last rewind left.
    let archived = ground.keeping.and_then(|keeping| newest(keeping.place()).ok()).unwrap_or(0);
    archived.max(replaced.state.sequence).max(replaced.by.sequence) + UNKNOWN_COMMITS
}

/// Refuses where the replaced file that is kept has the only copy of commits: another one will be kept in its stead.
fn refuse(ground: Ground<'_>, places: &Places) -> crate::Result {
    // Where an earlier rewind swapped and could not tidy up, the file that it replaced is still in `next/`.
    if let Some(before) = Journal::read(places)?.filter(|before| before.step == Step::Swapping) {
        super::settle::end(places, &before)?;
    }
    match Replaced::read(&places.replaced())?.filter(|replaced| replaced.archived == Some(false)) {
        Some(replaced) => only_here::refuse(ground, places, &replaced),
        None => Ok(()),
    }
}

/// Removes what an earlier rewind prepared and nobody went on with.
fn clear(places: &Places) -> crate::Result {
    if let Some(before) = Journal::read(places)? {
        super::settle::end(places, &before)?;
    }
    remove(&places.next())
}

fn compared(store: &Store, now: &Path, then: &Path) -> (Vec<Table>, Option<String>) {
    if is_damaged(store) {
        return (Vec::new(), Some("the file that is there is damaged and was not compared".to_owned()));
    }
    match compare::compare(now, then) {
        Ok((tables, true)) => (tables, None),
        Ok((tables, false)) => {
            (tables, Some("not all tables were compared: that would have taken too long".to_owned()))
        }
        Err(e) => (Vec::new(), Some(format!("the two were not compared: {}", explain::told(&e)))),
    }
}

/// Whether the store has no file that could be read.
pub(super) fn is_damaged(store: &Store) -> bool {
    matches!(store.status().state, State::Damaged(_) | State::Closed)
}

/// The state that serves, and the moment of its newest archived commit.
pub(super) fn side(store: &Store, newest: (u64, i64)) -> Side {
    let moment = (newest.1 != 0).then(|| restoring::moment(newest.1));
    Side { history: monolite_archive::hex(&store.history()), sequence: store.sequence(), moment }
}

impl Ground<'_> {
    /// The store of a service.
    pub(super) fn store(&self, service: &str) -> crate::Result<Store> {
        let unknown = || Usage(sql::unknown(service, self.host.services()));
        Ok(self.host.store(service).ok_or_else(unknown)?)
    }
}
