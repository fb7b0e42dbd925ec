//! `status`: whether a server runs on the data folder, and how its services do.

use crate::archive::{ArchiveStatus, proofs, restoring};
use crate::context::Context;
use crate::control::Request;
use crate::output::size;
use crate::status::{ServerStatus, ServiceStatus};
use crate::verb::{Found, Result, Verb};
use monolite_runtime::{Holding, WaitingTenant, Writer};

/// Show whether a server runs on the data folder, and how its services do
///
/// The exit code is 1 where none runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Print the server's process id and nothing else
    #[arg(long)]
    pid: bool,
    /// Print who holds each writer, who waits for it, and who held it longest in the last hour
    #[arg(long)]
    writers: bool,
}

impl Verb for Status {
    const NAME: &'static str = "status";

    fn run(self, context: &Context) -> Result {
        let out = context.output();
        let status = match context.client()? {
            Some(client) => client.ask::<ServerStatus>(&Request::Status, &mut |_| {})?,
            None => stopped(context),
        };
        match (self.pid, status.pid) {
            (true, Some(pid)) => out.line(pid.to_string())?,
            (true, None) => context.note(format!("no server runs on {}", status.data)),
            (false, _) if out.is_json() => out.json(&status)?,
            (false, _) if self.writers => print_writers(context, &status)?,
            (false, _) => print(context, &status)?,
        }
        if status.running { Ok(()) } else { Err(Found.into()) }
    }
}

fn stopped(context: &Context) -> ServerStatus {
    let files = crate::folder::service_files(context.data()).unwrap_or_default();
    let services = files.iter().map(|file| {
        // The file is not opened: a server that starts at this moment must find it free.
        let (bytes, wal_bytes) = file.sizes();
        ServiceStatus {
            service: file.service.clone(),
            state: "stopped".to_owned(),
            sequence: None,
            bytes,
            wal_bytes,
            queued: 0,
            slow_queued: 0,
            writer: None,
            held: None,
            trouble: None,
        }
    });
    ServerStatus {
        running: false,
        pid: None,
        program: context.name.to_owned(),
        version: context.version.to_owned(),
        data: context.data().display().to_string(),
        listen: None,
        admin: None,
        archive: None,
        uptime_seconds: None,
        services: services.collect(),
    }
}

fn print(context: &Context, status: &ServerStatus) -> Result {
    let out = context.output();
    match (status.pid, &status.listen, &status.admin) {
        (Some(pid), Some(listen), Some(admin)) => {
            out.line(format!("{} {} runs as process {pid}", status.program, status.version))?;
            out.line(format!("  listens on {listen}, for operators on {admin}"))?;
            out.line(format!("  for {} s", status.uptime_seconds.unwrap_or_default()))?;
        }
        _ if !context.data().exists() => return out.line(format!("there is no data folder {}", status.data)),
        _ => out.line("no server runs on this data folder")?,
    }
    out.line(format!("  data in {}", status.data))?;
    if let Some(archive) = &status.archive {
        let behind: u64 = archive.files.iter().map(|f| f.published.saturating_sub(f.archived)).sum();
        let lag = archive.files.iter().map(|f| f.lag_ms).max().unwrap_or(0);
        out.line(format!(
            "  archived in {}, {behind} commits and {lag} ms behind (backup status tells more)",
            archive.place
        ))?;
        for file in archive.files.iter().filter(|f| f.state != "keeping") {
            out.line(format!("  ARCHIVE: {} is {}", file.service, file.state))?;
        }
        out.line(format!("  {}", verified(archive)))?;
        for file in archive.files.iter().filter(|f| f.verification.wrong.is_some()) {
            out.line(format!("  ARCHIVE: {}", proofs::text(&file.service, &file.verification)))?;
        }
    }
    let rows = status.services.iter().map(|s| {
        [
            s.service.clone(),
            s.state.clone(),
            s.sequence.map_or_else(String::new, |n| n.to_string()),
            size(s.bytes),
            size(s.wal_bytes),
            s.queued.to_string(),
            s.writer.clone().unwrap_or_default(),
        ]
    });
    out.table(&["service", "state", "commit", "file", "WAL", "queued", "writer"], rows)?;
    let troubled = status.services.iter().filter_map(|s| Some((&s.service, s.trouble.as_ref()?)));
    troubled.into_iter().try_for_each(|(service, trouble)| out.line(format!("{service}: {trouble}")))
}

/// How many archives were proven, and how long ago the oldest of these proofs was made.
fn verified(archive: &ArchiveStatus) -> String {
    let sound = || archive.files.iter().filter_map(|f| f.verification.sound.as_ref());
    let oldest = sound().map(|sound| sound.at_ms).min();
    match oldest {
        Some(at_ms) => {
            let (proven, all) = (sound().count(), archive.files.len());
            format!("{proven} of {all} archives verified, each since {}", restoring::moment(at_ms))
        }
        None => "no archive was verified yet".to_owned(),
    }
}

fn print_writers(context: &Context, status: &ServerStatus) -> Result {
    let out = context.output();
    let all = || status.services.iter().filter_map(|s| s.held.as_ref());
    let holding = |writer: &Writer, what: &str, h: &Holding| {
        [
            writer.service.clone(),
            what.to_owned(),
            h.message.clone(),
            time(h.held_us),
            time(h.began_ms_ago.saturating_mul(1000)),
            h.tenant.clone(),
            h.trace_id.clone().unwrap_or_default(),
            h.statement.clone().unwrap_or_default(),
        ]
    };
    let waiting = |writer: &Writer, w: &WaitingTenant| {
        let (service, writes, oldest) = (writer.service.clone(), format!("{} writes", w.writes), time(w.oldest_us));
        let nothing = String::new;
        [service, "waits".to_owned(), writes, oldest, nothing(), w.tenant.clone(), nothing(), nothing()]
    };
    let rows = all().flat_map(|writer| {
        let now = writer.holder.iter().map(|h| holding(writer, "holds", h));
        let later = writer.waiting.iter().map(|w| waiting(writer, w));
        now.chain(later).chain(writer.longest.iter().map(|h| holding(writer, "held", h)))
    });
    out.table(&["service", "", "message", "for", "began ago", "tenant", "trace", "statement"], rows)
}

fn time(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}
