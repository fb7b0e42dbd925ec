//! Steps in a file: one process leaves them, another one reads them.
//!
//! **Invariants**
//! - What one process appends counts its syncs from its own beginning; the reader makes one line of all.

use super::Op;
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Appends what one process did.
pub(crate) fn append(file: &Path, ops: &[Op]) -> Result<()> {
    let mut out = Vec::new();
    number(&mut out, ops.len() as u64);
    for op in ops {
        put(&mut out, op);
    }
    OpenOptions::new().create(true).append(true).open(file)?.write_all(&out)?;
    Ok(())
}

/// What all processes did, in order.
pub(crate) fn read(file: &Path) -> Result<Vec<Op>> {
    let bytes = match std::fs::read(file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut from = From { bytes: &bytes };
    let mut ops = Vec::new();
    while !from.bytes.is_empty() {
        let before = ops.len();
        for _ in 0..from.number()? {
            ops.push(match from.op()? {
                Op::Sync { path, upto } => Op::Sync { path, upto: before + upto },
                other => other,
            });
        }
    }
    Ok(ops)
}

fn number(out: &mut Vec<u8>, number: u64) {
    out.extend(number.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend(bytes);
}

fn put(out: &mut Vec<u8>, op: &Op) {
    let path = |out: &mut Vec<u8>, tag: u8, path: &Path| {
        out.push(tag);
        bytes(out, path.as_os_str().as_bytes());
    };
    match op {
        Op::Folder(folder) => path(out, 0, folder),
        Op::Create(file) => path(out, 1, file),
        Op::Write { file, at, bytes: written } => {
            path(out, 2, file);
            number(out, *at);
            bytes(out, written);
        }
        Op::Length { file, bytes } => {
            path(out, 3, file);
            number(out, *bytes);
        }
        Op::Rename { from, to } => {
            path(out, 4, from);
            bytes(out, to.as_os_str().as_bytes());
        }
        Op::Exchange { a, b } => {
            path(out, 5, a);
            bytes(out, b.as_os_str().as_bytes());
        }
        Op::Remove(name) => path(out, 6, name),
        Op::Sync { path: synced, upto } => {
            path(out, 7, synced);
            number(out, *upto as u64);
        }
        Op::Seen { path: seen, bytes: found } => {
            path(out, if found.is_some() { 8 } else { 9 }, seen);
            found.iter().for_each(|found| bytes(out, found));
        }
        Op::Answered { write, sequence } => {
            path(out, 10, Path::new(""));
            number(out, *write);
            number(out, *sequence);
        }
    }
}

struct From<'a> {
    bytes: &'a [u8],
}

impl<'a> From<'a> {
    fn take(&mut self, many: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(many).context("the log of steps is cut off")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes were taken")))
    }

    fn some(&mut self) -> Result<&'a [u8]> {
        let many = self.number()? as usize;
        self.take(many)
    }

    fn path(&mut self) -> Result<PathBuf> {
        Ok(PathBuf::from(OsStr::from_bytes(self.some()?)))
    }

    fn op(&mut self) -> Result<Op> {
        let tag = self.take(1)?[0];
        let path = self.path()?;
        Ok(match tag {
            0 => Op::Folder(path),
            1 => Op::Create(path),
            2 => Op::Write { file: path, at: self.number()?, bytes: Arc::from(self.some()?) },
            3 => Op::Length { file: path, bytes: self.number()? },
            4 => Op::Rename { from: path, to: self.path()? },
            5 => Op::Exchange { a: path, b: self.path()? },
            6 => Op::Remove(path),
            7 => Op::Sync { path, upto: self.number()? as usize },
            8 => Op::Seen { path, bytes: Some(Arc::from(self.some()?)) },
            9 => Op::Seen { path, bytes: None },
            10 => Op::Answered { write: self.number()?, sequence: self.number()? },
            other => bail!("the log of steps has no kind {other}"),
        })
    }
}
