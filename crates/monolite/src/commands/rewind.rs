//! `rewind`: one service as it was at a moment, while the others serve.

use super::Steps;
use crate::archive::{Keeping, wanted};
use crate::context::Context;
use crate::control::{Client, Request};
use crate::rewind::{self, Done, Ground, Preview, Wish};
use crate::terminal;
use crate::verb::{Found, Result, Usage, Verb};
use monolite_runtime::{Host, OnDamage};
use serde::de::DeserializeOwned;
use std::io::IsTerminal;

/// Put one service back to a moment, on a running server or without one
///
/// Its file of that moment is restored beside, what would change is shown, and after a yes the two are swapped: the service
/// refuses calls for that moment only, the others serve on. The replaced file is kept: --undo puts it back.
#[derive(Debug, clap::Args)]
pub(crate) struct Rewind {
    /// The service
    service: String,
    /// To a moment such as 2026-11-23T14:05:00Z, a commit of the service, or a cut by its name
    #[arg(long, value_name = "MOMENT", required_unless_present_any = ["undo", "forget"])]
    to: Option<String>,
    /// Which of the service's histories [default: the one that serves]
    #[arg(long, value_name = "ID")]
    history: Option<String>,
    /// Put the file back that the last rewind replaced
    #[arg(long, conflicts_with_all = ["to", "history", "forget", "accept"])]
    undo: bool,
    /// Remove the file that the last rewind replaced; its history stays in the archive
    #[arg(long, conflicts_with_all = ["to", "history", "dry_run"])]
    forget: bool,
    /// Rewind although other services are ahead of this one then; with --forget: although the archive has not all of that file
    #[arg(long)]
    accept: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Where it is done.
enum Way<'c> {
    Running(Client, &'c Context),
    Here(Box<Host>, Option<Keeping>, &'c Context),
}

impl Verb for Rewind {
    const NAME: &'static str = "rewind";

    fn run(self, context: &Context) -> Result {
        let asks = !self.yes && !self.dry_run && !self.forget;
        if asks && !std::io::stdin().is_terminal() {
            let text = "there is no terminal to ask on: --yes does it, --dry-run shows what would change";
            return Err(Usage(text.to_owned()).into());
        }
        if let Some(to) = &self.to {
            wanted(to)?.to_come().into_iter().for_each(|told| context.note(told));
        }
        let way = Way::of(context)?;
        if self.forget {
            return forget(context, &way, &self.service, self.accept);
        }
        let preview = self.prepare(&way)?;
        let (service, id) = (self.service.clone(), preview.id.clone());
        show(context, &preview)?;
        if self.dry_run || asks && !terminal::is_yes(&format!("Put {service} back to that?"))? {
            way.ask::<()>(Request::Drop { service, id })?;
            context.note("nothing was changed");
            return Ok(());
        }
        let done: Done = way.ask(Request::Swap { service, id })?;
        print(context, &done)
    }
}

impl Rewind {
    fn prepare(&self, way: &Way<'_>) -> Result<Preview> {
        let service = self.service.clone();
        match &self.to {
            Some(to) => {
                let accept = self.accept || self.dry_run;
                let wish = Wish { service, to: to.clone(), history: self.history.clone(), accept };
                way.ask(Request::Rewind { wish })
            }
            None => way.ask(Request::Undo { service }),
        }
    }
}

impl<'c> Way<'c> {
    fn of(context: &'c Context) -> Result<Self> {
        if let Some(client) = context.client()? {
            return Ok(Way::Running(client, context));
        }
        let (host, keeping) = context.open_as(OnDamage::Quarantine)?;
        Ok(Way::Here(Box::new(host), keeping, context))
    }

    fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        match self {
            Way::Running(client, context) => {
                let steps = Steps::new(context);
                client.ask(&request, &mut |step| steps.at(step))
            }
            Way::Here(host, keeping, context) => {
                let steps = Steps::new(context);
                let ground = Ground { host, keeping: keeping.as_ref(), data: context.data() };
                let answer = rewind::answer(ground, request, &mut |step| steps.at(step))?;
                Ok(serde_json::from_str(answer.get())?)
            }
        }
    }
}

impl Drop for Way<'_> {
    fn drop(&mut self) {
        if let Way::Here(host, keeping, _) = self {
            if let Some(keeping) = keeping.take() {
                keeping.finish();
            }
            let _ = host.shutdown(); // what was acknowledged is safe whatever this says
        }
    }
}

fn forget(context: &Context, way: &Way<'_>, service: &str, accept: bool) -> Result {
    let there: bool = way.ask(Request::Forget { service: service.to_owned(), accept })?;
    context.note(match there {
        true => format!("the replaced file of {service} was removed; its history stays in the archive"),
        false => format!("no replaced file of {service} was kept"),
    });
    Ok(())
}

fn show(context: &Context, preview: &Preview) -> Result {
    let out = context.output();
    if out.is_json() {
        return out.json(preview);
    }
    let (now, then) = (&preview.now, &preview.then);
    let of = |moment: &Option<String>| moment.as_ref().map_or(String::new(), |moment| format!(" of {moment}"));
    context.note(format!(
        "{}: from commit {}{} to commit {}{}",
        preview.service,
        now.sequence,
        of(&now.moment),
        then.sequence,
        of(&then.moment)
    ));
    if let (Some(commits), Some(ms)) = (preview.commits, preview.undone_ms) {
        context.note(format!("{commits} commits are undone, {} s", ms / 1000));
    }
    let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let rows = preview.tables.iter().map(|t| {
        let [back, go, change] = match &t.rows {
            Some(rows) => [rows.come_back, rows.go, rows.change].map(|n| n.to_string()),
            None => ["-", "-", "-"].map(str::to_owned),
        };
        [t.table.clone(), number(t.now), number(t.then), back, go, change]
    });
    out.table(&["table", "rows now", "rows then", "come back", "go", "change"], rows)?;
    let ahead = preview.ahead.iter().map(|(service, to)| format!("  ahead of it then: {service}, to {to}"));
    ahead.chain(preview.note.clone()).for_each(|line| context.note(line));
    Ok(())
}

fn print(context: &Context, done: &Done) -> Result {
    let out = context.output();
    let found = if done.kept_on { Ok(()) } else { Err(Found.into()) };
    if out.is_json() {
        out.json(done)?;
        return found;
    }
    out.line(format!(
        "{} is at commit {} of {}; it goes on as history {} from commit {}, and refused calls for {} ms",
        done.service,
        done.then.sequence,
        done.then.moment.as_deref().unwrap_or("the replaced file"),
        done.history,
        done.sequence,
        done.away_ms
    ))?;
    context.note(format!(
        "the replaced file is kept in {}: `rewind {} --undo` puts it back",
        done.kept.display(),
        done.service
    ));
    if let Some(note) = &done.note {
        context.note(note);
    }
    found
}
