//! `backup verify`: is all that the archive holds sound?

use crate::archive::restoring::moment;
use crate::archive::{Where, histories, no_history, services};
use crate::context::Context;
use crate::output::size;
use crate::progress::Progress;
use crate::verb::{Found, Result};
use monolite_archive::{Config, History, Place, Proof, Restored, Room, cuts};
use monolite_service::{Clock, SystemClock};
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a proof leaves of the disk that the operator chose for it.
const ROOM_LEFT: u64 = 256 << 20;

/// What was found in one history.
#[derive(Default, Serialize)]
struct Report {
    service: String,
    history: String,
    segments: usize,
    bytes: u64,
    pages: u64,
    from: u64,
    to: u64,
    /// The moment of the state that was restored, where one was.
    restored: Option<String>,
    /// Commits, first and last, that had their age: only those before are kept, for a cut or a restore.
    forgotten: Vec<(u64, u64)>,
    problems: Vec<String>,
}

pub(super) fn run(context: &Context, service: Option<&str>, from: Option<PathBuf>, scratch: Option<PathBuf>) -> Result {
    let place = Where::or(from, context.config(), context.data()).to_read(context.config())?;
    let bar = (!context.is_quiet()).then(|| Progress::bytes(Some(1)));
    let promised_ms = SystemClock.now().0.saturating_sub(Config::default().keep.age_ms);
    let mut reports = Vec::new();
    for name in services(&place)?.into_iter().filter(|name| service.is_none_or(|service| service == name)) {
        for (history, manifest) in histories(&place, &name)? {
            let mut told = |done, whole| {
                if let Some(bar) = &bar {
                    bar.of(whole);
                    bar.at(done);
                    bar.doing(name.clone());
                }
                ControlFlow::Continue(())
            };
            let found = monolite_archive::verify(&history, promised_ms, &mut told)?;
            let mut problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
            let restored = match &scratch {
                Some(folder) => restored(&history, folder, &mut problems),
                None => None,
            };
            reports.push(Report {
                service: manifest.service,
                history: manifest.history,
                segments: found.segments,
                bytes: found.bytes,
                pages: found.pages,
                from: found.first,
                to: found.last,
                restored: restored.map(|restored| moment(restored.at_ms)),
                forgotten: found.forgotten,
                problems,
            });
        }
    }
    drop(bar);
    if reports.is_empty() {
        return Err(no_history(&place, service)?.into());
    }
    reports.extend(lost(&place, &reports, service)?);
    print(context, &reports)?;
    if reports.iter().all(|report| report.problems.is_empty()) { Ok(()) } else { Err(Found.into()) }
}

/// Histories that the newest cut names and that are not there: an archive that was copied in part, or lost a folder.
fn lost(place: &Arc<dyn Place>, reports: &[Report], service: Option<&str>) -> Result<Vec<Report>> {
    let names = cuts::recorded(&**place)?;
    let Some(newest) = names.iter().max() else { return Ok(Vec::new()) };
    let cut = cuts::read(&**place, newest)?;
    let meant = cut.services.into_iter().filter(|(name, _)| service.is_none_or(|service| service == name));
    let is_there = |name: &str, history: &str| reports.iter().any(|r| r.service == name && r.history == history);
    let report = |(service, at): (String, cuts::Position)| Report {
        problems: vec![format!("the cut of {} names this history, and it is not there", moment(newest.at_ms))],
        service,
        history: at.history,
        ..Report::default()
    };
    Ok(meant.filter(|(name, at)| !is_there(name, &at.history)).map(report).collect())
}

/// The newest state, restored and removed again; what is wrong with it is a problem.
fn restored(history: &History, folder: &Path, problems: &mut Vec<String>) -> Option<Restored> {
    let folder = folder.join(format!("verify-{}", std::process::id()));
    match Proof::of(history, &folder, &Room::elsewhere(ROOM_LEFT), &mut |_| ControlFlow::Continue(())) {
        Ok(proof) => Some(proof.restored.clone()),
        Err(e) => {
            problems.push(format!("the newest state was not restored: {e}"));
            None
        }
    }
}

fn print(context: &Context, reports: &[Report]) -> Result {
    let out = context.output();
    if out.is_json() {
        return reports.iter().try_for_each(|report| out.json(report));
    }
    let rows = reports.iter().map(|r| {
        let result = if r.problems.is_empty() { "sound".to_owned() } else { format!("{} problems", r.problems.len()) };
        let restored = r.restored.clone().unwrap_or_else(|| "-".to_owned());
        [
            r.service.clone(),
            result,
            r.segments.to_string(),
            size(r.bytes),
            r.from.to_string(),
            r.to.to_string(),
            restored,
        ]
    });
    out.table(&["service", "result", "segments", "bytes", "from commit", "to commit", "restored"], rows)?;
    for report in reports {
        for (first, last) in &report.forgotten {
            let (service, history, kept) = (&report.service, &report.history, first - 1);
            out.line(format!(
                "{service} {history}: commits {first} to {last} had their age; commit {kept} before them is kept for a cut or a restore, \
                 and a later base leads on"
            ))?;
        }
        for problem in &report.problems {
            out.line(format!("{} {}: {problem}", report.service, report.history))?;
        }
    }
    Ok(())
}
