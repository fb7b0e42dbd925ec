//! Looks at what a cut left, as an operator who starts the program again, and then wants the other file back.

use super::program::SERVICE;
use super::run::{Numbers, Phase, command, done, numbers};
use anyhow::{Context, Result, ensure};
use std::path::Path;

/// Written after the cut, and after the undo.
const AFTER: [i64; 2] = [1_000_000, 1_000_001];

/// What was seen of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// The file of before served.
    pub(super) old: bool,
    /// There was nothing to undo.
    pub(super) nothing: bool,
}

/// Judges a folder; it is changed by that. The folders were exchanged before the cut, or not; surely for good, or perhaps.
pub(super) fn judge(program: &Path, data: &Path, phase: &Phase, (exchanged, surely): (bool, bool)) -> Result<Seen> {
    add(program, data, 0).context("the next start")?;
    let mut serves = numbers(data)?;
    ensure!(serves.remove(&AFTER[0]), "what was written after the cut is not there");
    let old = serves == phase.old;
    ensure!(old || serves == phase.wanted, "neither the file of before nor the wanted one serves, but {serves:?}");
    ensure!(old || exchanged, "the wanted file serves before the exchange");
    ensure!(!old || !surely, "the exchange was durable, and the file of before serves");
    for left in ["state.json", "next", "outdated"] {
        let left = data.join("rewind").join(SERVICE).join(left);
        ensure!(!left.exists(), "{} is left", left.display());
    }
    let comes_back = if old { phase.kept.as_ref() } else { Some(&phase.old) };
    undo(program, data, comes_back)?;
    Ok(Seen { old, nothing: comes_back.is_none() })
}

fn undo(program: &Path, data: &Path, comes_back: Option<&Numbers>) -> Result<()> {
    let said = command(program, data, None, &["rewind", SERVICE, "--undo", "--yes"])?;
    let error = String::from_utf8_lossy(&said.stderr);
    let Some(wanted) = comes_back else {
        ensure!(said.status.code() == Some(2) && error.contains("nothing to undo"), "an undo of nothing: {error}");
        return Ok(());
    };
    ensure!(said.status.success(), "what was replaced is lost: {error}");
    let serves = numbers(data)?;
    ensure!(serves == *wanted, "the undo brings {serves:?} back, not {wanted:?}");
    add(program, data, 1).context("after the undo")
}

fn add(program: &Path, data: &Path, which: usize) -> Result<()> {
    let number = AFTER[which].to_string();
    done(program, data, None, &["put", &number, &number])
}
