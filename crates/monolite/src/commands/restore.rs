//! `restore`: files back from the archive, into a folder of their own.

use crate::archive::restoring::{Done, Part};
use crate::archive::{Unfinished, Where, restoring, roll_forward, wanted};
use crate::context::Context;
use crate::folder::{Owner, Reader, ServiceFile};
use crate::output::size;
use crate::progress::Progress;
use crate::verb::{Result, Usage, Verb};
use monolite_archive::{Phase, Place, Target};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Restore files from the archive into a folder
///
/// All files of one moment with --all: to a cut, which is recorded each minute and by `backup mark`. Or one service to any
/// moment that was archived. Nothing is ever written over. The folder is a data folder: `serve --data DIR` runs on it.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").args(["service", "all"]).required(true)))]
pub(crate) struct Restore {
    /// The service to restore
    service: Option<String>,
    /// Restore all files at one cut
    #[arg(long, conflicts_with = "history")]
    all: bool,
    /// To latest; a moment such as 2026-11-23T14:05:00Z; a cut by its name; a commit of the one service; newest: each as far as it goes
    #[arg(long, default_value = "latest", value_name = "MOMENT")]
    to: String,
    /// The folder; it is made where it is not there
    #[arg(long, value_name = "DIR", required_unless_present = "roll_forward")]
    into: Option<PathBuf>,
    /// Put the newest archived state in the place of the service's file, which is kept beside; its server must be stopped
    #[arg(long, requires = "service", conflicts_with_all = ["into", "to", "from", "dry_run"])]
    roll_forward: bool,
    /// The archive: a folder or s3://BUCKET/PREFIX, instead of the configured one
    #[arg(long, value_name = "PLACE")]
    from: Option<PathBuf>,
    /// Which of a service's histories, where it has several [default: the one begun last]
    #[arg(long, value_name = "ID")]
    history: Option<String>,
    /// Restore files that do not fit together all the same
    #[arg(long)]
    accept: bool,
    /// Say what would be restored, and check that all segments for it are there
    #[arg(long)]
    dry_run: bool,
}

impl Verb for Restore {
    const NAME: &'static str = "restore";

    fn run(self, context: &Context) -> Result {
        let at = Where::or(self.from.clone(), context.config(), context.data());
        let place = at.to_read(context.config())?;
        let into = match (&self.into, &self.service) {
            (Some(into), _) => std::path::absolute(into)?,
            (None, Some(service)) => return self.roll_forward(context, &place, service),
            (None, None) => return Err(Usage("--roll-forward is of one service: name it".to_owned()).into()),
        };
        restoring::refuse_inside(&into, &at, context.data())?;
        let wanted = wanted(&self.to)?;
        wanted.to_come().into_iter().for_each(|told| context.note(told));
        let asked = self.asked();
        let begun = if self.dry_run { None } else { Unfinished::find(&into, &asked)? };
        let (parts, cut) = match (&begun, &self.service) {
            (Some(begun), _) => (begun.parts(&place)?, None),
            (None, Some(service)) => (vec![restoring::one(&place, service, self.history.as_deref(), &wanted)?], None),
            (None, None) => restoring::all(&place, &wanted)?,
        };
        match &begun {
            Some(_) => context.note("going on with the restore that was cut off here"),
            None => parts.iter().try_for_each(|part| part.refuse_existing(&into))?,
        }
        if !self.dry_run && begun.is_none() {
            self.refuse_what_does_not_fit(&place, &parts, cut.is_some())?;
            Unfinished::begin(&into, &asked, &parts)?;
        }
        if let Some(cut) = &cut {
            let name = cut.name.mark.as_ref().map_or(String::new(), |mark| format!(" {mark}"));
            context.note(format!("the cut{name} of {}", restoring::moment(cut.name.at_ms)));
            if !cut.missing.is_empty() {
                let missing = cut.missing.join(", ");
                context.note(format!("it does not have {missing}, then in quarantine: restore those by themselves"));
            }
        }
        let done = match self.dry_run {
            true => parts.iter().map(|part| part.planned(&into)).collect(),
            false => restore(context, &parts, &into)?,
        };
        print(context, &done)?;
        for done in done.iter().filter(|done| !done.avoided.is_empty()) {
            let segments = done.avoided.join(", ");
            context.note(format!(
                "{} is whole, the archive is not: damaged, and avoided by another way to the same commit, were {segments}; `backup verify` says more",
                done.service
            ));
        }
        let later: Vec<String> = done.iter().filter(|d| d.later_commits > 0).map(later).collect();
        if !later.is_empty() {
            context.note(format!("the archive goes on after that: {}", later.join(", ")));
        }
        for (done, why) in done.iter().filter_map(|done| Some((done, done.gap.as_ref()?))) {
            context.note(format!("what the archive of {} has after that cannot be restored: {why}", done.service));
        }
        if !self.dry_run {
            context.note(format!("restored into {}", into.display()));
        }
        Ok(())
    }
}

impl Restore {
    /// What makes another call the same.
    fn asked(&self) -> Vec<String> {
        let named = |text: &Option<String>| text.clone().unwrap_or_default();
        let from = self.from.as_ref().map_or(String::new(), |from| from.display().to_string());
        vec![named(&self.service), self.to.clone(), named(&self.history), from]
    }

    /// The archive's newest in the place of the service's file.
    fn roll_forward(&self, context: &Context, place: &Arc<dyn Place>, service: &str) -> Result {
        if context.client()?.is_some() {
            let text = format!("a server runs on {}: stop it first", context.data().display());
            return Err(Usage(text).into());
        }
        let file = ServiceFile::of(context.data(), service);
        let known = standing(&file.path);
        let id = self.history.clone().or_else(|| known.as_ref().ok().map(|(history, _)| history.clone()));
        let part = Part::of(place, service, id.as_deref(), Target::Latest)?;
        match &known {
            Ok((_, sequence)) if *sequence >= part.newest.0 && !self.accept => {
                return Err(Usage(format!(
                    "{} is at commit {sequence}, the archive at {}: it is not behind. --accept replaces it all the same, by \
                     what the archive has",
                    file.path.display(),
                    part.newest.0
                ))
                .into());
            }
            Err(why) if file.path.exists() => context.note(format!("the file of now cannot be read: {why:#}")),
            _ => {}
        }
        let bar = (!context.is_quiet()).then(|| Progress::bytes(Some(part.bytes())));
        let stopped = stopped_by_signals()?;
        let mut told = |progress: monolite_archive::Progress| {
            bar.iter().for_each(|bar| bar.at(progress.done));
            if stopped.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let done = roll_forward(place, context.data(), service, id.as_deref(), &mut told)?;
        drop(bar);
        if context.output().is_json() {
            return context.output().json(&done);
        }
        context.output().line(done.told(known.map_or(0, |(_, sequence)| sequence)))
    }

    /// One file of the past beside newer ones breaks what holds between them.
    fn refuse_what_does_not_fit(&self, place: &Arc<dyn Place>, parts: &[Part], is_cut: bool) -> Result {
        if self.accept || is_cut {
            return Ok(());
        }
        if self.all {
            let text = "--to newest restores each file as far as it goes: what one says of another may not hold. \
                        --accept does it; --to latest restores the newest cut, at which all fit together";
            return Err(Usage(text.to_owned()).into());
        }
        let [part] = parts else { return Ok(()) };
        let ahead = restoring::ahead(place, part)?;
        if ahead.is_empty() {
            return Ok(());
        }
        Err(Usage(restoring::does_not_fit(part, &ahead, "restores")).into())
    }
}

/// The history and the last commit of a file that no server runs on.
fn standing(file: &Path) -> Result<(String, u64)> {
    let reader = Reader::open(file, Owner::Nobody)?;
    let sql = "SELECT lower(hex(history_id)), sequence FROM _monolite";
    Ok(reader.connection().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Becomes true at the first signal; the second ends the process.
fn stopped_by_signals() -> Result<Arc<AtomicBool>> {
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = stopped.clone();
    crate::interrupt::on_interrupt(move |times| {
        stop.store(true, Ordering::Relaxed);
        if times > 1 {
            std::process::exit(1);
        }
    })?;
    Ok(stopped)
}

fn restore(context: &Context, parts: &[Part], into: &Path) -> Result<Vec<Done>> {
    let stopped = stopped_by_signals()?;
    let whole: u64 = parts.iter().map(Part::bytes).sum();
    let bar = (!context.is_quiet()).then(|| Progress::bytes(Some(whole)));
    let mut before = 0;
    let mut done = Vec::new();
    for part in parts {
        if let Some(there) = part.restored(into) {
            done.push(there);
            before += part.bytes();
            continue;
        }
        let mut told = |progress: monolite_archive::Progress| {
            if let Some(bar) = &bar {
                bar.at(before + progress.done);
                let doing = if progress.phase == Phase::Checking { "checking " } else { "" };
                bar.doing(format!("{doing}{}", part.service));
            }
            if stopped.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        done.push(part.restore(into, &mut told)?);
        before += part.bytes();
    }
    Unfinished::end(into)?;
    Ok(done)
}

fn print(context: &Context, done: &[Done]) -> Result {
    let out = context.output();
    if out.is_json() {
        return done.iter().try_for_each(|done| out.json(done));
    }
    let rows = done.iter().map(|d| {
        let bytes = d.bytes.map_or_else(|| "-".to_owned(), size);
        [
            d.service.clone(),
            d.sequence.to_string(),
            d.moment.clone(),
            bytes,
            d.segments.to_string(),
            size(d.segment_bytes),
        ]
    });
    out.table(&["service", "commit", "moment", "file", "segments", "read"], rows)
}

fn later(done: &Done) -> String {
    format!("{} by {} commits", done.service, done.later_commits)
}
