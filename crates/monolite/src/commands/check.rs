//! `check`: every file looked at, page by page.

use super::{Steps, files_of};
use crate::context::Context;
use crate::control::Request;
use crate::folder::{FileReport, examine_all};
use crate::output::size;
use crate::verb::{Found, Result, Verb};
use std::path::PathBuf;

/// Check all files: integrity, references, schema, sizes
///
/// Reads each page once; through the server where one runs on the folder. The exit code is 1 where something is wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// A folder with services' files, such as a backup, instead of the data folder
    folder: Option<PathBuf>,
}

impl Verb for Check {
    const NAME: &'static str = "check";

    fn run(self, context: &Context) -> Result {
        let steps = Steps::new(context);
        let folder = self.folder.as_deref().unwrap_or_else(|| context.data());
        let reports: Vec<FileReport> = match context.client_of(folder)? {
            Some(client) => client.ask(&Request::Check, &mut |step| steps.at(step))?,
            None => examine_all(&files_of(folder)?, context.services(), &mut |step| steps.at(step)),
        };
        drop(steps);
        print(context, &reports)?;
        if reports.iter().all(|r| r.problems.is_empty()) { Ok(()) } else { Err(Found.into()) }
    }
}

fn print(context: &Context, reports: &[FileReport]) -> Result {
    let out = context.output();
    if out.is_json() {
        return reports.iter().try_for_each(|report| out.json(report));
    }
    let rows = reports.iter().map(|r| {
        let result = if r.problems.is_empty() { "sound".to_owned() } else { format!("{} problems", r.problems.len()) };
        [r.service.clone(), result, r.schema.clone(), size(r.bytes), size(r.wal_bytes), r.sequence.to_string()]
    });
    out.table(&["service", "result", "schema", "file", "WAL", "commit"], rows)?;
    for report in reports {
        for problem in &report.problems {
            out.line(format!("{}: {problem}", report.file))?;
        }
    }
    Ok(())
}
