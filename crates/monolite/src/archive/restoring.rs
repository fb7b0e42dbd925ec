//! Files of services back from their histories, into a folder of their own.
//!
//! **Invariants**
//! - Everything that can be refused is refused before the first file is written: a missing history, a gap, a file that is there.
//! - Files of one cut are restored to that cut exactly; nothing is restored past it.

use super::{Wanted, Where, history, services};
use crate::folder::ServiceFile;
use crate::verb::Usage;
use anyhow::{Context as _, bail};
use jiff::Timestamp;
use monolite_archive::cuts::{self, CutName, CutPoint};
use monolite_archive::{Check, History, Place, Plan, Progress, Restored, Target};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// One file to restore.
pub(crate) struct Part {
    pub(crate) service: String,
    history: History,
    plan: Plan,
    /// The moment of its last commit, in unix milliseconds.
    pub(crate) at_ms: i64,
    /// The newest commit that is archived, and its moment.
    pub(crate) newest: (u64, i64),
    /// Why that cannot be restored, where it cannot.
    pub(crate) gap: Option<String>,
    /// Where it is of a cut: where that has all services.
    beside: BTreeMap<String, cuts::Position>,
}

/// What was restored, or would be.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    pub(crate) service: String,
    pub(crate) file: String,
    pub(crate) sequence: u64,
    pub(crate) moment: String,
    pub(crate) bytes: Option<u64>,
    pub(crate) segments: usize,
    pub(crate) segment_bytes: u64,
    /// Later commits in the archive that are not in it.
    pub(crate) later_commits: u64,
    /// Why the newest of them cannot be restored, where it cannot.
    pub(crate) gap: Option<String>,
    /// Damaged segments that it was restored around: it is whole, the archive is not.
    pub(crate) avoided: Vec<String>,
}

impl Part {
    /// Plans one file.
    pub(crate) fn of(place: &Arc<dyn Place>, service: &str, id: Option<&str>, target: Target) -> crate::Result<Part> {
        let history = history(place, service, id)?;
        let moment = |plan: &Plan| -> crate::Result<i64> {
            let last = plan.segments().last().context("a plan has a base")?;
            Ok(history.header(last)?.at_ms)
        };
        let plans = monolite_archive::plan_beside_newest(&history, target);
        let (plan, newest) = plans.with_context(|| format!("{service} cannot be restored"))?;
        let at_ms = moment(&plan)?;
        let (newest, gap) = ((newest.sequence, newest.at_ms), newest.no_way);
        Ok(Part { service: service.to_owned(), history, plan, at_ms, newest, gap, beside: BTreeMap::new() })
    }

    /// Refuses to restore over a file.
    pub(crate) fn refuse_existing(&self, folder: &Path) -> crate::Result<()> {
        let file = ServiceFile::of(folder, &self.service).path;
        if std::fs::symlink_metadata(&file).is_ok() {
            let text =
                format!("{} is there already; nothing is restored over a file: choose another folder", file.display());
            return Err(Usage(text).into());
        }
        Ok(())
    }

    /// The history that it is of.
    pub(crate) fn history(&self) -> String {
        self.history.id().to_owned()
    }

    /// The commit that it goes to.
    pub(crate) fn sequence(&self) -> u64 {
        self.plan.last()
    }

    /// Bytes of its segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.plan.bytes()
    }

    /// What would be restored.
    pub(crate) fn planned(&self, folder: &Path) -> Done {
        self.done(folder, None)
    }

    /// What a restore of the same has put there before it was cut off.
    pub(crate) fn restored(&self, folder: &Path) -> Option<Done> {
        let bytes = std::fs::metadata(ServiceFile::of(folder, &self.service).path).ok()?.len();
        Some(Done { bytes: Some(bytes), ..self.done(folder, None) })
    }

    /// Restores it.
    pub(crate) fn restore(
        &self,
        folder: &Path,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> crate::Result<Done> {
        let file = ServiceFile::of(folder, &self.service).path;
        let within = file.parent().context("a service's file has a folder")?;
        // By the archive's steps: the folders' names are durable before the file that lies in them is.
        monolite_archive::disk::make(within).with_context(|| format!("cannot make {}", within.display()))?;
        let restored = monolite_archive::restore_planned(&self.history, &self.plan, &file, Check::Full, progress)
            .with_context(|| format!("{} was not restored", self.service))?;
        Ok(self.done(folder, Some(&restored)))
    }

    fn done(&self, folder: &Path, restored: Option<&Restored>) -> Done {
        Done {
            service: self.service.clone(),
            file: ServiceFile::of(folder, &self.service).path.display().to_string(),
            sequence: self.plan.last(),
            moment: moment(self.at_ms),
            bytes: restored.map(|restored| restored.bytes),
            segments: self.plan.segments().len(),
            segment_bytes: self.plan.bytes(),
            later_commits: self.newest.0.saturating_sub(self.plan.last()),
            gap: self.gap.clone(),
            avoided: restored
                .map_or_else(Vec::new, |restored| restored.avoided.iter().map(ToString::to_string).collect()),
        }
    }
}

/// Refuses what is no folder, and a folder in which a server or an archive has files of its own: theirs and the restored ones would
/// lie in one folder.
pub(crate) fn refuse_inside(into: &Path, place: &Where, data: &Path) -> crate::Result<()> {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // What is not there yet lies in what is.
    let there = into.ancestors().find(|path| path.exists());
    if let Some(file) = there.filter(|path| !path.is_dir()) {
        return Err(Usage(format!("{} is no folder: choose another one for --into", file.display())).into());
    }
    let within = there.map_or_else(|| into.to_owned(), real);
    let archive = match place {
        Where::Folder(folder) => Some(real(folder)),
        Where::Bucket(..) | Where::Nowhere => None,
    };
    let what = match archive.filter(|archive| within.starts_with(archive)) {
        Some(archive) => format!("the archive {}", archive.display()),
        None if within != real(data) && within.starts_with(real(data)) => format!("the data folder {}", data.display()),
        None => return Ok(()),
    };
    Err(Usage(format!("{} lies in {what}: choose a folder of its own", into.display())).into())
}

/// One file, as it is wanted.
pub(crate) fn one(place: &Arc<dyn Place>, service: &str, id: Option<&str>, wanted: &Wanted) -> crate::Result<Part> {
    let target = match wanted {
        Wanted::Latest | Wanted::Newest => Target::Latest,
        Wanted::Sequence(sequence) => Target::Sequence(*sequence),
        Wanted::Before(moment) => Target::Before(*moment),
        Wanted::Cut(name) => {
            let (_, cut) = newest_cut(place, Some(name), None)?;
            let Some(file) = cut.services.get(service) else { bail!("the cut {name} has no {service}") };
            let part = Part::of(place, service, Some(id.unwrap_or(&file.history)), Target::Sequence(file.sequence))?;
            return Ok(Part { beside: cut.services, ..part });
        }
    };
    Part::of(place, service, id, target)
}

/// The cut that files are of.
pub(crate) struct OfCut {
    /// Which.
    pub(crate) name: CutName,
    /// Services that it does not have, since they were in quarantine or not archived then.
    pub(crate) missing: Vec<String>,
}

/// All files, and the cut that they are of; none where each is as new as it can be.
pub(crate) fn all(place: &Arc<dyn Place>, wanted: &Wanted) -> crate::Result<(Vec<Part>, Option<OfCut>)> {
    let (name, before) = match wanted {
        Wanted::Newest => {
            let parts: crate::Result<Vec<Part>> =
                services(place)?.iter().map(|service| Part::of(place, service, None, Target::Latest)).collect();
            return Ok((parts.and_then(some)?, None));
        }
        Wanted::Sequence(_) => {
            let text = "each file counts its own commits: give a moment or a cut for --all, or name the service";
            return Err(Usage(text.to_owned()).into());
        }
        Wanted::Latest => (None, None),
        Wanted::Before(moment) => (None, Some(*moment)),
        Wanted::Cut(name) => (Some(name.as_str()), None),
    };
    let (cut_name, cut) = newest_cut(place, name, before)?;
    let part = |(service, file): (&String, &cuts::Position)| {
        Part::of(place, service, Some(&file.history), Target::Sequence(file.sequence))
    };
    let parts: crate::Result<Vec<Part>> = cut.services.iter().map(part).collect();
    Ok((parts.and_then(some)?, Some(OfCut { name: cut_name, missing: cut.missing })))
}

/// Files whose archive goes on after a moment: they would be ahead of one that is restored to it.
pub(crate) fn ahead(place: &Arc<dyn Place>, of: &Part) -> crate::Result<Vec<(String, i64)>> {
    let mut ahead = Vec::new();
    if of.newest.0 == of.plan.last() {
        return Ok(ahead);
    }
    for service in services(place)? {
        if service != of.service {
            // Whether it can be restored is no matter: that it went on is.
            let history = history(place, &service, None)?;
            let Some((last, at_ms)) = monolite_archive::newest(&history)? else { continue };
            // A commit's moment is that of the segment which holds it, and may be later than a cut that has it.
            let goes_on = match of.beside.get(&service) {
                Some(at) if at.history == history.id() => last > at.sequence,
                _ => at_ms > of.at_ms,
            };
            if goes_on {
                ahead.push((service, at_ms));
            }
        }
    }
    Ok(ahead)
}

/// Why one file is not put beside others that are ahead of it.
pub(crate) fn does_not_fit(part: &Part, ahead: &[(String, i64)], does: &str) -> String {
    let ahead: Vec<String> = ahead.iter().map(|(s, at)| format!("{s} (to {})", moment(*at))).collect();
    format!(
        "{} would be of {}, and these go on after that: {}. They may name what it does not have any more, or have done what it has \
         not done yet. `restore --all` restores all files at one moment; --accept {does} this one all the same",
        part.service,
        moment(part.at_ms),
        ahead.join(", ")
    )
}

/// A moment as people and programs read it.
pub(crate) fn moment(unix_ms: i64) -> String {
    Timestamp::from_millisecond(unix_ms).map_or_else(|_| unix_ms.to_string(), |at| at.to_string())
}

fn some(parts: Vec<Part>) -> crate::Result<Vec<Part>> {
    if parts.is_empty() { bail!("there is no service's history in the archive") } else { Ok(parts) }
}

fn newest_cut(place: &Arc<dyn Place>, name: Option<&str>, before: Option<i64>) -> crate::Result<(CutName, CutPoint)> {
    let names = cuts::recorded(&**place)?;
    let found = match name {
        Some(name) => cuts::marked(&names, name),
        None => cuts::newest_before(&names, before.unwrap_or(i64::MAX)),
    };
    if let Some(found) = found {
        return Ok((found.clone(), cuts::read(&**place, found)?));
    }
    let which = match (name, before) {
        (Some("now"), _) => "no cut is called now (--to latest is the newest there is)".to_owned(),
        (Some(name), _) => format!("no cut is called {name}"),
        (None, Some(before)) => format!("no cut is from before {}", moment(before)),
        (None, None) => "no cut was recorded".to_owned(),
    };
    bail!(
        "{which} in {}; `backup list` shows what there is, and --to newest restores each file as far as it goes, whether they fit together or not",
        place.describe()
    )
}
