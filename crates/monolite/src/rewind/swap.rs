//! The swap: the prepared file takes the place of the one that serves.
//!
//! **Invariants**
//! - The service is away from just before its file is closed until the other one is open; everything slow is before or after.
//! - Where the new file cannot be opened the old one is put back, and serves.

use super::exchange::{exchange, sync};
use super::journal::{Journal, Replaced, Step, unmark};
use super::prepare::{is_damaged, side};
use super::settle::{end, finish, give_up};
use super::{Done, Ground, Places, Side, die, only_here};
use crate::verb::Usage;
use anyhow::Context as _;
use monolite_archive::{Kind, Rest, disk};
use monolite_runtime::Away;
use monolite_store::{Store, maintain};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a cut that is being recorded may take.
const CUT_WAIT: Duration = Duration::from_secs(35);
/// How long what takes long of the archive (a base, a merge) may take to end, before the service is taken away.
const REST_WAIT: Duration = Duration::from_secs(10);
/// How long the archive may take for the last commits, once the service is away. The rest goes with the replaced file.
const ARCHIVE_WAIT: Duration = Duration::from_secs(5);

/// Swaps what was prepared under this id.
pub(super) fn swap(ground: Ground<'_>, service: &str, id: &str) -> crate::Result<Done> {
    let store = ground.store(service)?;
    let places = Places::of(ground.data, service);
    let _alone = places.alone()?;
    let prepared = Journal::read(&places)?.filter(|journal| journal.id == id && journal.step == Step::Ready);
    let gone = || Usage(format!("what was prepared for {service} is not there any more; begin again"));
    let mut journal = prepared.ok_or_else(gone)?;
    // No cut is recorded without this service, as if it were not there.
    let _cuts = ground.keeping.map(|keeping| keeping.hold_cuts(CUT_WAIT).ok_or_else(no_end)).transpose()?;
    let damaged = is_damaged(&store);
    let mut wait = ARCHIVE_WAIT;
    match ground.keeping.filter(|_| !damaged) {
        // What is put back is here: it does not wait for an archive that does not answer.
        Some(keeping) if journal.undo && keeping.catch_up_within(service, ARCHIVE_WAIT).is_err() => {
            wait = Duration::ZERO
        }
        Some(keeping) if !journal.undo => keeping.catch_up(service)?,
        _ => {}
    }
    let _rest = rest(ground, service, journal.undo || damaged)?;
    begin(&places, &mut journal, side(&store, (0, 0)))?;
    let began = Instant::now();
    let away = ground.host.take_away(service).context("the service was not taken away")?;
    die::here("away");
    let archived = ground.keeping.is_none_or(|keeping| keeping.leave(service, wait));
    if let Some(replaced) = &mut journal.replaced {
        replaced.archived = (!damaged).then_some(archived);
        if !damaged {
            replaced.state.sequence = replaced.state.sequence.max(away.last());
        }
    }
    // Whoever ends this after a crash has to know of commits that are in the replaced file only.
    let noted = journal.write(&places);
    let forked = match noted.and_then(|()| put_in_place(&places, &journal, &away, ground.host.now().0)) {
        Ok(forked) => forked,
        Err(e) => return Err(put_back(&places, &journal, &away, ground, e)),
    };
    let away_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    drop(away);
    die::here("serving");
    let mut note = None;
    if !archived && !damaged {
        note = Some(
            "the last commits of the replaced file are in its own spool or WAL, not in the archive; until they are, neither --forget \
             nor another rewind removes it"
                .to_owned(),
        );
    }
    let kept_on = keep(ground, service, &forked.0);
    if let Err(e) = &kept_on {
        note = Some(format!(
            "{service} serves, but is NOT ARCHIVED: {e:#}; mend that, and it is tried again with each cut (`backup mark NAME` \
             takes one), or restart the server. `backup status` says how it stands"
        ));
    }
    finish(&places, &journal).context("the rewind is done; the next start of the server tidies up after it")?;
    let (replaced, then) = (journal.replaced.map_or_else(|| journal.then.clone(), |known| known.state), journal.then);
    let (history, sequence) = (monolite_archive::hex(&forked.1.history), forked.1.sequence);
    let kept = places.replaced();
    let kept_on = kept_on.is_ok();
    Ok(Done { service: service.to_owned(), replaced, then, history, sequence, away_ms, kept, kept_on, note })
}

fn no_end() -> anyhow::Error {
    anyhow::anyhow!(
        "nothing was changed: a cut is being recorded, and the archive does not answer; try again, or stop the server and then say the \
         same"
    )
}

/// Has the archive's long work end, which would keep the service away. Where it does not end, nothing is swapped but what has to be:
/// that work is then left to itself.
fn rest(ground: Ground<'_>, service: &str, at_once: bool) -> crate::Result<Option<Rest>> {
    let Some(keeping) = ground.keeping else { return Ok(None) };
    match keeping.rest(service, if at_once { ARCHIVE_WAIT } else { REST_WAIT }) {
        Ok(rest) => Ok(Some(rest)),
        // One that is not kept has nothing that could rest.
        Err(e) if at_once || e.kind() == Kind::Missing => Ok(None),
        Err(e) => Err(e).context("nothing was changed; try again, `backup status` says how the archive stands"),
    }
}

/// Removes what was prepared under this id, and nobody wants.
pub(super) fn drop_prepared(data: &Path, service: &str, id: &str) -> crate::Result {
    let places = Places::of(data, service);
    let _alone = places.alone()?;
    match Journal::read(&places)? {
        Some(journal) if journal.id == id => end(&places, &journal).map(drop),
        _ => Ok(()),
    }
}

/// Removes the replaced file that is kept; answers whether there was one. `accept`: although the archive has not all of it.
pub(super) fn forget(ground: Ground<'_>, service: &str, accept: bool) -> crate::Result<bool> {
    let places = Places::of(ground.data, service);
    if !places.root.is_dir() {
        return Ok(false);
    }
    let _alone = places.alone()?;
    if let Some(journal) = Journal::read(&places)?.filter(|journal| journal.undo || journal.step == Step::Swapping) {
        end(&places, &journal)?;
    }
    let there = places.replaced().exists();
    if let Some(replaced) = Replaced::read(&places.replaced())?.filter(|_| !accept) {
        only_here::refuse(ground, &places, &replaced)?;
    }
    super::exchange::remove(&places.replaced())?;
    Ok(there)
}

/// From here on a crash is settled by the mark.
fn begin(places: &Places, journal: &mut Journal, now: Side) -> crate::Result {
    journal.step = Step::Swapping;
    journal.replaced = Some(Replaced::new(now, journal.then.clone()));
    journal.write(places)?;
    die::here("journal");
    if journal.undo {
        disk::rename(&places.replaced(), &places.next()).context("the replaced file cannot be moved")?;
        sync(&places.root)?;
        die::here("staged");
    }
    journal.mark(&places.next_folder())?;
    die::here("marked");
    Ok(())
}

fn put_in_place(
    places: &Places,
    journal: &Journal,
    away: &Away<'_>,
    now_ms: i64,
) -> crate::Result<(Store, maintain::Fork)> {
    let forked = maintain::fork(&places.next_file(), away.last().max(journal.above), now_ms)?;
    die::here("forked");
    exchange(&places.live(), &places.next_folder())?;
    die::here("exchanged");
    let opened = away.bring_back().context("the file of that moment does not open here")?;
    Ok((opened, forked))
}

/// The file that was there serves again. Answers why, and what became of it.
fn put_back(
    places: &Places,
    journal: &Journal,
    away: &Away<'_>,
    ground: Ground<'_>,
    why: anyhow::Error,
) -> anyhow::Error {
    let back = || -> crate::Result<crate::Result> {
        if journal.is_marked(&places.live()) {
            exchange(&places.live(), &places.next_folder())?;
        }
        let opened = away.bring_back()?;
        let kept = keep(ground, &places.service, &opened);
        unmark(&places.next_folder());
        give_up(places, journal)?;
        Ok(kept)
    };
    match back() {
        Ok(Ok(())) => why.context(format!("{} was not rewound; its file is as it was", places.service)),
        Ok(Err(e)) => why.context(format!(
            "{} was not rewound; its file is as it was, and serves, but is NOT ARCHIVED until that is tried again: {e:#}",
            places.service
        )),
        Err(e) => {
            why.context(format!("{} was not rewound, and does not serve: {e:#}; restart the server", places.service))
        }
    }
}

fn keep(ground: Ground<'_>, service: &str, store: &Store) -> crate::Result {
    ground.keeping.map_or(Ok(()), |keeping| keeping.keep(service, store))
}
