//! Which part of the archive a step belongs to, so that each part gets its images.

use crate::steps::{Entry, Op};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The parts.
pub(super) const PARTS: [&str; 9] =
    ["spool", "base copy", "claim", "restore", "base", "captured", "merged", "retention", "other"];

/// What its name holds, for the first seven.
const NAMES: [&str; 7] = ["spool/spool", "spool/base", "claim", "out/", "ltx/9", "ltx/0", "ltx/"];

/// The part of each entry; what is on its way belongs to what it becomes.
pub(super) fn of(entries: &[Entry]) -> Vec<usize> {
    let becomes: HashMap<&Path, &PathBuf> = entries
        .iter()
        .filter_map(|entry| match &entry.op {
            Op::Rename { from, to } if from.to_string_lossy().contains(".partial/") => Some((from.as_path(), to)),
            _ => None,
        })
        .collect();
    let part = |entry: &Entry| {
        let (path, removed) = match &entry.op {
            Op::Remove(path) => (path, true),
            Op::Folder(path) | Op::Create(path) | Op::Sync { path, .. } => (path, false),
            Op::Write { file, .. } | Op::Length { file, .. } => (file, false),
            Op::Rename { to, .. } => (to, false),
            Op::Exchange { .. } | Op::Seen { .. } | Op::Answered { .. } => return PARTS.len() - 1,
        };
        let name = becomes.get(path.as_path()).copied().unwrap_or(path).to_string_lossy();
        if removed && name.starts_with("archive/") && name.contains("/ltx/") {
            return PARTS.len() - 2;
        }
        NAMES.iter().position(|part| name.contains(part)).unwrap_or(PARTS.len() - 1)
    };
    entries.iter().map(part).collect()
}
