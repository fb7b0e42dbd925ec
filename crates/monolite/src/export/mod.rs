//! One file for a whole system at one moment: a tar of all services' files, compressed by zstd.
//!
//! Any tar and zstd can take it apart; what makes it ours is its first member, the manifest. Byte by byte in
//! docs/format/export.md.
//!
//! **Invariants**
//! - A file has its name once it is whole and durable; nothing is written over, neither a file nor a folder that holds something.
//! - Memory is a few MiB, whatever the size of the system.
//! - A folder has its name once everything in it was compared with the manifest and checked by SQLite.

mod beside;
mod pace;
mod pack;
mod unpack;

pub(crate) use beside::Partial;
pub(crate) use pack::{pack, refuse_existing};
pub(crate) use unpack::unpack;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The name of the manifest.
const MANIFEST: &str = "monolite.json";
/// The longest manifest: a thousand services have room in it.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
const FORMAT: u32 = 1;
/// Bytes read at a time.
const PIECE: usize = 1 << 20;

/// What is in an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The format.
    pub(crate) format: u32,
    /// The program that wrote it.
    pub(crate) program: String,
    /// Its version.
    pub(crate) version: String,
    /// The moment of the files, in unix milliseconds.
    pub(crate) at_ms: i64,
    /// The files, in the order of the members.
    pub(crate) files: Vec<Member>,
}

/// One service's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// The service; the member is `<service>/<service>.db`.
    pub(crate) service: String,
    /// Its last commit.
    pub(crate) sequence: u64,
    /// Its history.
    pub(crate) history: String,
    /// Bytes.
    pub(crate) bytes: u64,
    /// SHA-256, 64 hex digits.
    pub(crate) sha256: String,
}

impl Manifest {
    /// Of files that nobody writes, in a data folder.
    pub(crate) fn of(program: &str, version: &str, at_ms: i64, folder: &Path) -> crate::Result<Manifest> {
        let files = crate::folder::service_files(folder)?;
        let files = files.iter().map(Member::of).collect::<crate::Result<Vec<Member>>>()?;
        anyhow::ensure!(!files.is_empty(), "there is no service's file in {}", folder.display());
        Ok(Manifest { format: FORMAT, program: program.to_owned(), version: version.to_owned(), at_ms, files })
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

impl Member {
    fn of(file: &crate::folder::ServiceFile) -> crate::Result<Member> {
        let (sequence, history) = crate::folder::known(&file.path)?;
        let mut source = File::open(&file.path).with_context(|| format!("cannot read {}", file.path.display()))?;
        let (bytes, sha256) = sum(&mut source).with_context(|| format!("cannot read {}", file.path.display()))?;
        Ok(Member { service: file.service.clone(), sequence, history, bytes, sha256 })
    }

    /// Its name in the tar.
    fn name(&self) -> String {
        format!("{0}/{0}.db", self.service)
    }
}

/// The length and the sum of what is read.
fn sum(source: &mut impl Read) -> io::Result<(u64, String)> {
    let (mut sum, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        match source.read(&mut piece)? {
            0 => return Ok((bytes, hex(sum))),
            n => {
                sum.update(&piece[..n]);
                bytes += n as u64;
            }
        }
    }
}

fn hex(sum: Sha256) -> String {
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
