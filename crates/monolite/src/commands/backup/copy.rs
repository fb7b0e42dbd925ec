//! `backup copy`: all files into an empty folder, while the server runs or not.

use super::super::{Steps, files_of};
use crate::context::Context;
use crate::control::Request;
use crate::folder::{Copied, copy_stopped};
use crate::output::size;
use crate::verb::Result;
use std::path::Path;

pub(super) fn run(context: &Context, folder: &Path) -> Result {
    let folder = std::path::absolute(folder)?;
    let steps = Steps::new(context);
    let copies: Vec<Copied> = match context.client()? {
        Some(client) => client.ask(&Request::Backup { folder: folder.clone() }, &mut |step| steps.at(step))?,
        None => {
            let files: Vec<_> = files_of(context.data())?.into_iter().map(|(file, _)| file).collect();
            copy_stopped(&folder, &files, &mut |step| steps.at(step))?
        }
    };
    drop(steps);
    print(context, &folder, &copies)
}

fn print(context: &Context, folder: &Path, copies: &[Copied]) -> Result {
    let out = context.output();
    if out.is_json() {
        return copies.iter().try_for_each(|copy| out.json(copy));
    }
    let rows = copies.iter().map(|c| [c.service.clone(), size(c.bytes), c.sequence.to_string(), "verified".to_owned()]);
    out.table(&["service", "bytes", "commit", "copy"], rows)?;
    context.note(format!("copied to {}", folder.display()));
    Ok(())
}
