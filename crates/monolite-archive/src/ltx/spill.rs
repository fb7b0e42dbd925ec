//! Bytes kept until the end: in memory, and past a bound in a file without a name.
//!
//! The index of a segment comes after its pages; that of a terabyte is gigabytes.
//!
//! **Invariants**
//! - At most `SPILL_AT` bytes and one piece are in memory, where a folder was given.

use crate::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes in memory before they go to the file.
const SPILL_AT: usize = 4 << 20;

/// See the head of this file.
#[derive(Default)]
pub(super) struct Spill {
    memory: Vec<u8>,
    folder: Option<PathBuf>,
    file: Option<File>,
    spilled: u64,
}

impl Spill {
    pub(super) fn to(&mut self, folder: &Path) {
        self.folder = Some(folder.to_owned());
    }

    pub(super) fn len(&self) -> u64 {
        self.spilled + self.memory.len() as u64
    }

    /// Where to append; call [`Spill::settle`] after each piece.
    pub(super) fn memory(&mut self) -> &mut Vec<u8> {
        &mut self.memory
    }

    pub(super) fn settle(&mut self) -> Result<()> {
        let Some(folder) = self.folder.as_ref().filter(|_| self.memory.len() >= SPILL_AT) else { return Ok(()) };
        let context = || format!("keeping the index of a segment in {}", folder.display());
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(nameless(folder).map_err(|e| Error::io(context(), e))?),
        };
        file.write_all(&self.memory).map_err(|e| Error::io(context(), e))?;
        self.spilled += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    /// All bytes in order, in pieces.
    pub(super) fn drain(mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if let Some(file) = &mut self.file {
            let context = |e| Error::io("reading the kept index of a segment", e);
            file.seek(SeekFrom::Start(0)).map_err(context)?;
            let mut piece = vec![0; 64 << 10];
            loop {
                let n = file.read(&mut piece).map_err(context)?;
                if n == 0 {
                    break;
                }
                each(&piece[..n])?;
            }
        }
        each(&self.memory)
    }
}

/// A file that is gone when it is closed.
fn nameless(folder: &Path) -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    for n in 0u32.. {
        let path = folder.join(format!(".index-{}-{n}", std::process::id()));
        match rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file.into());
            }
            Err(rustix::io::Errno::EXIST) if n < 1_000 => {}
            Err(e) => return Err(e.into()),
        }
    }
    unreachable!("the loop returns")
}

#[test]
fn what_spills_comes_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut spill = Spill::default();
    spill.to(folder.path());
    let mut whole = Vec::new();
    for n in 0u32..3_000_000 {
        spill.memory().extend(n.to_le_bytes());
        spill.settle().unwrap();
        whole.extend(n.to_le_bytes());
    }
    assert!(spill.memory.len() < SPILL_AT && spill.spilled > 0);
    assert_eq!(spill.len(), whole.len() as u64);
    let mut back: Vec<u8> = Vec::new();
    spill
        .drain(|piece| {
            back.extend(piece);
            Ok(())
        })
        .unwrap();
    assert!(back == whole);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
