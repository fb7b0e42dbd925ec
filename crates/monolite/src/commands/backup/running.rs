//! `backup status`, `now`, `base` and `mark`: the archive of a running server.

use crate::archive::restoring::moment;
use crate::archive::{ArchiveStatus, FileStatus, Where, check_mark, proofs};
use crate::context::Context;
use crate::control::{Client, Request};
use crate::output::size;
use crate::verb::{Found, Result, Usage};
use monolite_archive::cuts::CutPoint;

pub(super) fn status(context: &Context) -> Result {
    let status: ArchiveStatus = server(context)?.ask(&Request::Archive, &mut |_| {})?;
    let out = context.output();
    if out.is_json() {
        return out.json(&status);
    }
    out.line(format!("archived in {}", status.place))?;
    out.line(format!("  last cut {}", status.last_cut.as_deref().unwrap_or("not yet")))?;
    let rows = status.files.iter().map(|f| {
        let dash = || "-".to_owned();
        let base = match (f.copying_percent, f.last_base) {
            (Some(percent), _) => format!("copying, {percent}%"),
            (None, Some(commit)) => commit.to_string(),
            (None, None) => dash(),
        };
        [
            f.service.clone(),
            f.state.clone(),
            f.published.to_string(),
            f.archived.to_string(),
            format!("{} ms", f.lag_ms),
            size(f.spool_bytes),
            f.last_put.clone().unwrap_or_else(dash),
            base,
            size(f.bytes),
            verified(f),
            f.errors.to_string(),
        ]
    });
    let head =
        ["service", "state", "commit", "archived", "lag", "spool", "last put", "base", "bytes", "verified", "errors"];
    out.table(&head, rows)?;
    let errors = status.files.iter().filter_map(|f| Some((&f.service, f.last_error.as_ref()?)));
    errors.for_each(|(service, error)| context.note(format!("{service}: {error}")));
    for file in status.files.iter().filter(|f| f.verification.wrong.is_some() || f.verification.hindered.is_some()) {
        context.note(proofs::text(&file.service, &file.verification));
    }
    if let Some(trouble) = &status.trouble {
        context.note(trouble);
    }
    let sound = |f: &FileStatus| f.state == "keeping" && f.verification.wrong.is_none();
    let all_kept = status.files.iter().all(sound) && status.trouble.is_none();
    if all_kept { Ok(()) } else { Err(Found.into()) }
}

fn verified(file: &FileStatus) -> String {
    match (&file.verification.wrong, &file.verification.sound) {
        (Some(_), _) => "WRONG".to_owned(),
        (None, Some(sound)) => format!("{} of {}", sound.sequence, moment(sound.at_ms)),
        (None, None) => "-".to_owned(),
    }
}

/// Asks for a new base of a service, and waits for nothing.
pub(super) fn base(context: &Context, service: String) -> Result {
    server(context)?.ask::<()>(&Request::Base { service: service.clone() }, &mut |_| {})?;
    context.note(format!("a new base of {service} is being made; `backup status` shows it"));
    Ok(())
}

pub(super) fn now(context: &Context, most: u64) -> Result {
    let most = most.saturating_mul(1000);
    let took: u64 = server(context)?.ask(&Request::ArchiveNow { most }, &mut |_| {})?;
    context.note(format!("all that was committed is in the archive ({took} ms)"));
    Ok(())
}

pub(super) fn mark(context: &Context, name: String) -> Result {
    check_mark(&name)?;
    let cut: CutPoint = server(context)?.ask(&Request::Mark { name: name.clone() }, &mut |_| {})?;
    let out = context.output();
    let whole = if cut.missing.is_empty() { Ok(()) } else { Err(Found.into()) };
    if out.is_json() {
        out.json(&cut)?;
        return whole;
    }
    let rows =
        cut.services.iter().map(|(service, file)| [service.clone(), file.sequence.to_string(), file.history.clone()]);
    out.table(&["service", "commit", "history"], rows)?;
    context.note(format!("recorded {name} of {}", moment(cut.at_ms)));
    if whole.is_err() {
        let missing = cut.missing.join(", ");
        context.note(format!("it does not have {missing}: in quarantine or not archived any more, `status` says why"));
    }
    whole
}

fn server(context: &Context) -> Result<Client> {
    if Where::of(context.config(), context.data()) == Where::Nowhere {
        return Err(Usage("archive.to is \"off\": nothing is archived here".to_owned()).into());
    }
    let running = context.client()?;
    running.ok_or_else(|| {
        Usage(format!("no server runs on {}; `backup list` shows its archive", context.data().display())).into()
    })
}
