//! `backup import`: a data folder from one file.

use crate::context::Context;
use crate::export::unpack;
use crate::progress::Progress;
use crate::verb::Result;
use std::path::Path;

pub(super) fn run(context: &Context, file: &Path, into: &Path) -> Result {
    let (file, into) = (std::path::absolute(file)?, std::path::absolute(into)?);
    let bar = (!context.is_quiet()).then(|| Progress::bytes(Some(1)));
    let mut told = |done, whole| {
        if let Some(bar) = &bar {
            bar.of(whole);
            bar.at(done);
            bar.doing(if done == whole { "checking" } else { "reading" });
        }
    };
    let manifest = unpack(&file, &into, &mut told)?;
    drop(bar);
    super::export::print(context, &manifest)?;
    context.note(format!("imported into {}: `serve --data {0}` runs on it", into.display()));
    Ok(())
}
