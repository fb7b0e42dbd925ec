//! The steps that a program takes on a folder, as `monolite_archive::disk` tells them, and what a power cut could leave of them.
//!
//! `log` hears them, `file` carries them from one process to another, `tree` walks over them and makes images. What SQLite does to
//! its files is no step: the rig of the archive has a VFS below for that, the one of rewinds looks at them between two steps.

mod file;
mod log;
mod tree;

pub(crate) use file::{append, read};
pub(crate) use log::{Entry, Log};
pub(crate) use tree::{STYLES, Style, Tree, Walk};

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One thing that happened.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Folder(PathBuf),
    Create(PathBuf),
    Write {
        file: PathBuf,
        at: u64,
        bytes: Arc<[u8]>,
    },
    Length {
        file: PathBuf,
        bytes: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Exchange {
        a: PathBuf,
        b: PathBuf,
    },
    /// A file that SQLite writes was seen to hold this, or to be gone; all of it durable.
    Seen {
        path: PathBuf,
        bytes: Option<Arc<[u8]>>,
    },
    Remove(PathBuf),
    /// It covers the entries before this one of the log.
    Sync {
        path: PathBuf,
        upto: usize,
    },
    /// The client heard that this write is durable, under this commit.
    Answered {
        write: u64,
        sequence: u64,
    },
}

/// Puts a tree into a folder, in place of what is there.
pub(crate) fn lay_out(folder: &Path, tree: &Tree) -> std::io::Result<()> {
    std::fs::remove_dir_all(folder)?;
    std::fs::create_dir(folder)?;
    for (name, bytes) in tree {
        match bytes {
            None => std::fs::create_dir(folder.join(name))?,
            Some(bytes) => std::fs::write(folder.join(name), bytes)?,
        }
    }
    Ok(())
}
