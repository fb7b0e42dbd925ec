//! Answers to what commands ask of a running server.

use super::{Refusal, Reply, Request, Step, USAGE};
use crate::explain;
use crate::folder::{self, Owner, ServiceFile};
use crate::link;
use crate::rewind::{self, Ground};
use crate::serving::Serving;
use crate::sql::{self, Bounds, Rows};
use crate::verb::Usage;
use anyhow::{Context as _, anyhow};
use monolite_runtime::{Rejection, block_on};
use monolite_store::Ticket;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::time::{Duration, Instant};

/// Answers one request; long work tells how far it is.
pub(super) fn answer(serving: &Serving, request: Request, progress: &mut dyn FnMut(Step)) -> Reply {
    let answered = match request {
        Request::Call { message, body } => return call(serving, &message, &body),
        Request::Status => raw(&serving.status()),
        Request::Query { service, sql, bounds } => query(serving, &service, sql, bounds).and_then(|rows| raw(&rows)),
        Request::QueryAll { sql, bounds } => query_all(serving, &sql, bounds).and_then(|rows| raw(&rows)),
        Request::Check => check(serving, progress),
        Request::Archive => serving.keeping(|keeping| raw(&keeping.status())),
        Request::ArchiveNow { most } => serving.keeping(|keeping| {
            let took = keeping.now(Duration::from_millis(most))?;
            raw(&u64::try_from(took.as_millis())?)
        }),
        Request::Base { service } => serving.keeping(|keeping| raw(&keeping.begin_base(&service)?)),
        Request::Mark { name } => serving.keeping(|keeping| raw(&keeping.cut(&name)?)),
        Request::Rewind { .. }
        | Request::Undo { .. }
        | Request::Swap { .. }
        | Request::Drop { .. }
        | Request::Forget { .. } => rewound(serving, request, progress),
        Request::Backup { folder } => {
            folder::copy_running(&folder, &serving.host, progress).and_then(|copies| raw(&copies))
        }
    };
    match answered {
        Ok(value) => Reply::Done(value),
        Err(e) => Reply::Failed(Refusal {
            code: if e.is::<Usage>() { USAGE } else { "failed" }.to_owned(),
            detail: explain::told(&e),
            retry_after_ms: None,
        }),
    }
}

fn raw(value: &impl Serialize) -> crate::Result<Box<RawValue>> {
    Ok(to_raw_value(value)?)
}

fn call(serving: &Serving, name: &str, body: &RawValue) -> Reply {
    let found = name.split_once('.').and_then(|(service, message)| {
        let service = serving.services.iter().find(|s| s.name == service)?;
        service.handlers.iter().find(|h| h.message == message)
    });
    let Some(handler) = found else {
        return failed("unknown_message", format!("this server (monolite {}) does not answer {name}", crate::VERSION));
    };
    let (host, tally) = serving.host.tallied();
    let flow = host.flow(&host.system());
    let replied = block_on(handler.registration.call_json(&flow, body.get().as_bytes()));
    if let (Ok(_), Err(e)) = (&replied, serving.acknowledge(&tally)) {
        return failed(
            "not_archived",
            format!("it is done and on this machine's disk, not to be done again; but {e:#}"),
        );
    }
    match replied {
        Ok(reply) => match String::from_utf8(reply.to_vec()).map(RawValue::from_string) {
            Ok(Ok(reply)) => Reply::Done(reply),
            _ => failed("internal", "a reply is not JSON"),
        },
        Err(Rejection::Refused { code, detail, fields, .. }) => {
            let fields: String = fields.iter().map(|f| format!("; {f}")).collect();
            failed(&code, format!("{detail} ({code}){fields}"))
        }
        Err(Rejection::Failed(failure)) => Reply::Failed(Refusal {
            code: "failed".to_owned(),
            detail: failure.to_string(),
            retry_after_ms: link::retry_after(&failure).and_then(|wait| u64::try_from(wait.as_millis()).ok()),
        }),
    }
}

fn failed(code: &str, detail: impl Into<String>) -> Reply {
    Reply::Failed(Refusal { code: code.to_owned(), detail: detail.into(), retry_after_ms: None })
}

/// Runs a statement with the service's own rights to read.
fn query(serving: &Serving, service: &str, text: String, bounds: Bounds) -> crate::Result<Rows> {
    let store = serving.host.store(service).with_context(|| sql::unknown(service, serving.host.services()))?;
    let ticket = Ticket::label("db").deadline(Instant::now() + bounds.time_max).slow();
    let read = store.read_with(ticket, move |db| -> Result<Option<Rows>, monolite_store::Error> {
        let mut statement = db.prepare(&text)?;
        Ok(sql::rows(&mut statement, bounds)?)
    });
    match block_on(read) {
        Ok(seen) => seen.value.ok_or_else(|| Usage(sql::WRITES.to_owned()).into()),
        Err(e) => Err(sql::told(anyhow!(e))),
    }
}

/// Runs a statement over all files at one moment, with an operator's rights to read.
fn query_all(serving: &Serving, text: &str, bounds: Bounds) -> crate::Result<Rows> {
    let join = serving.host.join(&[]).map_err(|e| anyhow!(e))?;
    let read = join.read(Instant::now() + bounds.time_max, |files| -> Result<Option<Rows>, monolite_store::Error> {
        let mut statement = files.prepare(text)?;
        Ok(sql::rows(&mut statement, bounds)?)
    });
    let mut rows = read.map_err(|e| sql::told(anyhow!(e)))?.ok_or_else(|| Usage(sql::WRITES.to_owned()))?;
    rows.at = join.sequences().map(|(service, sequence)| (service.to_owned(), sequence)).collect();
    Ok(rows)
}

fn rewound(serving: &Serving, request: Request, progress: &mut dyn FnMut(Step)) -> crate::Result<Box<RawValue>> {
    let keeping = serving.archiving();
    let ground = Ground { host: &serving.host, keeping: keeping.as_deref(), data: &serving.data };
    rewind::answer(ground, request, progress)
}

fn check(serving: &Serving, progress: &mut dyn FnMut(Step)) -> crate::Result<Box<RawValue>> {
    let file = |service| Some((ServiceFile::of(&serving.data, service), serving.host.store(service)?));
    let stores: Vec<_> = serving.host.services().filter_map(file).collect();
    let files: Vec<_> = stores.iter().map(|(file, store)| (file.clone(), Owner::Store(store))).collect();
    raw(&folder::examine_all(&files, &serving.services, progress))
}
