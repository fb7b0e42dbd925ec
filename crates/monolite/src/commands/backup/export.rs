//! `backup export`: the whole system at one moment as one file.

use super::super::{Steps, files_of};
use crate::archive::restoring::moment;
use crate::archive::{Wanted, Where, restoring, wanted};
use crate::context::Context;
use crate::control::{Request, Step};
use crate::export::{Manifest, Partial, pack, refuse_existing};
use crate::folder::{Copied, copy_stopped};
use crate::output::size;
use crate::progress::Progress;
use crate::verb::Result;
use anyhow::Context as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What is exported.
pub(super) struct Export {
    pub(super) file: PathBuf,
    pub(super) to: Option<String>,
    pub(super) from: Option<PathBuf>,
}

impl Export {
    pub(super) fn run(self, context: &Context) -> Result {
        let out = std::path::absolute(&self.file)?;
        refuse_existing(&out)?;
        let partial = Partial::begin(&out)?;
        let parts = partial.parts(&out);
        let at_ms = match (&self.to, &self.from) {
            (None, None) => copied(context, &parts.0)?,
            (to, _) => {
                let wanted = wanted(to.as_deref().unwrap_or("latest"))?;
                wanted.to_come().into_iter().for_each(|told| context.note(told));
                self.restored(context, &wanted, &parts.0)?
            }
        };
        let manifest = Manifest::of(context.name, context.version, at_ms, &parts.0)?;
        let bar = (!context.is_quiet()).then(|| Progress::bytes(Some(manifest.bytes())));
        let mut told = |done| {
            if let Some(bar) = &bar {
                bar.at(done);
                bar.doing("packing");
            }
        };
        let rate = context.config().bytes("archive.base_rate");
        pack(&manifest, &parts.0, &partial, rate, &mut told)?;
        drop((bar, parts));
        let bytes = partial.finish(&out)?;
        print(context, &manifest)?;
        context.note(format!("exported to {}, {}, as of {}", out.display(), size(bytes), moment(at_ms)));
        Ok(())
    }

    /// From the archive, at a cut; answers its moment.
    fn restored(&self, context: &Context, to: &Wanted, parts: &Path) -> Result<i64> {
        let place = Where::or(self.from.clone(), context.config(), context.data()).to_read(context.config())?;
        let (files, cut) = restoring::all(&place, to)?;
        let cut = cut.context("an export is of one moment: name a cut, a moment, or latest")?;
        if !cut.missing.is_empty() {
            anyhow::bail!(
                "that cut does not have {}, then in quarantine: an export is of all; name another cut",
                cut.missing.join(", ")
            );
        }
        let steps = Steps::new(context);
        for part in files {
            let what = format!("restoring {}", part.service);
            let mut told = |p: monolite_archive::Progress| {
                steps.at(Step { what: what.clone(), done: p.done, total: p.whole });
                ControlFlow::Continue(())
            };
            part.restore(parts, &mut told)?;
        }
        Ok(cut.name.at_ms)
    }
}

/// All files at one moment of now, as `backup copy` makes them; answers that moment.
fn copied(context: &Context, parts: &Path) -> Result<i64> {
    let steps = Steps::new(context);
    let at_ms = jiff::Timestamp::now().as_millisecond();
    let _copies: Vec<Copied> = match context.client()? {
        Some(client) => client.ask(&Request::Backup { folder: parts.to_owned() }, &mut |step| steps.at(step))?,
        None => {
            let files: Vec<_> = files_of(context.data())?.into_iter().map(|(file, _)| file).collect();
            copy_stopped(parts, &files, &mut |step| steps.at(step))?
        }
    };
    Ok(at_ms)
}

pub(super) fn print(context: &Context, manifest: &Manifest) -> Result {
    let out = context.output();
    if out.is_json() {
        return out.json(manifest);
    }
    let rows =
        manifest.files.iter().map(|f| [f.service.clone(), f.sequence.to_string(), size(f.bytes), f.sha256.clone()]);
    out.table(&["service", "commit", "bytes", "SHA-256"], rows)
}
