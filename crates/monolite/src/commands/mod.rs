//! The standard verbs, a file each.

mod backup;
mod check;
mod config;
mod db;
mod new;
mod openapi;
mod restore;
mod rewind;
mod serve;
mod status;

pub(crate) use backup::Backup;
pub(crate) use check::Check;
pub(crate) use config::ConfigVerb;
pub(crate) use db::Db;
pub(crate) use new::New;
pub(crate) use openapi::OpenApi;
pub(crate) use restore::Restore;
pub(crate) use rewind::Rewind;
pub(crate) use serve::Serve;
pub(crate) use status::Status;

use crate::context::Context;
use crate::control::Step;
use crate::folder::{Owner, ServiceFile, service_files};
use crate::progress::Progress;
use anyhow::{Context as _, bail};
use std::path::Path;

/// The services' files of a stopped server; there must be some.
fn files_of(data: &Path) -> crate::Result<Vec<(ServiceFile, Owner<'static>)>> {
    let what = || format!("cannot read the data folder {}; --data names another", data.display());
    let files = service_files(data).with_context(what)?;
    if files.is_empty() {
        bail!("there is no service's file in {}; --data names another folder", data.display());
    }
    Ok(files.into_iter().map(|file| (file, Owner::Nobody)).collect())
}

/// A bar for the steps of long work, each of many parts.
struct Steps(Option<Progress>);

impl Steps {
    fn new(context: &Context) -> Self {
        Steps((!context.is_quiet()).then(|| Progress::steps(1)))
    }

    fn at(&self, step: Step) {
        if let Some(bar) = &self.0 {
            bar.of(step.total);
            bar.at(step.done);
            bar.doing(step.what);
        }
    }
}
