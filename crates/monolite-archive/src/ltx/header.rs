//! The first hundred bytes of a segment.
//!
//! **Invariants**
//! - A header that was read or is written makes sense: sizes, order, at least one page and commit.

use crate::{Error, Result};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 100;

const MAGIC: [u8; 4] = *b"LTX1";
/// No checksum over the whole database is kept; Litestream refuses files that have one.
const NO_CHECKSUM: u32 = 2;

/// Which commits a segment holds, of which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of a page.
    pub page_size: u32,
    /// Pages of the database after the last commit.
    pub pages: u32,
    /// The first commit's sequence; 1 makes it a base.
    pub first: u64,
    /// The last commit's sequence.
    pub last: u64,
    /// When the last commit was, in unix milliseconds.
    pub at_ms: i64,
    /// The writer epoch of the last commit; 0 where it is not known.
    pub epoch: u64,
}

impl Header {
    /// Whether the segment holds the whole file.
    pub fn is_base(&self) -> bool {
        self.first == 1
    }

    pub(super) fn check(&self) -> Result<()> {
        let wrong = if !self.page_size.is_power_of_two() || !(512..=65536).contains(&self.page_size) {
            format!("a page size of {}", self.page_size)
        } else if self.pages == 0 {
            "no page".into()
        } else if self.first == 0 || self.first > self.last {
            format!("commits {} to {}", self.first, self.last)
        } else {
            return Ok(());
        };
        Err(Error::damaged(format!("the header of the segment says {wrong}")))
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&NO_CHECKSUM.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.page_size.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.pages.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.last.to_be_bytes());
        bytes[32..40].copy_from_slice(&self.at_ms.to_be_bytes());
        // 40..72: checksum before, and the WAL's offset, size and salts: all unused.
        bytes[72..80].copy_from_slice(&self.epoch.to_be_bytes());
        bytes
    }

    /// Reads a header.
    pub fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Result<Self> {
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let long = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if bytes[..4] != MAGIC {
            return Err(Error::damaged("the segment does not begin with LTX1"));
        }
        if word(4) & !NO_CHECKSUM != 0 {
            return Err(Error::damaged(format!("the segment has flags that are not known: {:#x}", word(4))));
        }
        if bytes[80..].iter().any(|b| *b != 0) {
            return Err(Error::damaged("the reserved bytes of the segment's header are not zero"));
        }
        let at_ms = i64::from_be_bytes(bytes[32..40].try_into().expect("eight bytes"));
        let header =
            Header { page_size: word(8), pages: word(12), first: long(16), last: long(24), at_ms, epoch: long(72) };
        header.check()?;
        Ok(header)
    }
}
