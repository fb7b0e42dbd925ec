//! A WAL read frame by frame with its checksums, as recovery would, before SQLite opens anything.
//!
//! Only for a file whose first page is damaged: is that page in the WAL, so that nobody misses it? Every other opening
//! asks SQLite's own recovery, which sums the frames anyway.
//!
//! **Invariants**
//! - Changes nothing. Memory is bounded by one buffer.
//!
//! Layout of the file: SQLite's "WAL-mode file format", sections 4.1 to 4.5.

use crate::error::Result;
use crate::sqlite::disk::WalFile;
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
pub(crate) const MAGIC: u32 = 0x377f_0682;
/// The one buffer of a scan.
const BUFFER: usize = 1 << 20;

/// Whether recovery takes the database's first page from the WAL, whatever the file holds there: a power cut in a checkpoint
/// may leave that page damaged.
pub(crate) fn holds_first_page(db: &Path, vfs: Option<&'static str>) -> Result<bool> {
    let Some(mut file) = WalFile::open(db, vfs)? else { return Ok(false) };
    let bytes = file.size()?;
    let mut header = [0u8; HEADER];
    if bytes < HEADER as u64 {
        return Ok(false);
    }
    file.read_exact_at(&mut header, 0)?;
    let Some(mut scanner) = Scanner::new(&header) else { return Ok(false) };
    let frame = scanner.page + FRAME_HEADER;
    let mut buffer = vec![0u8; (BUFFER / frame).max(1) * frame];
    let mut at = HEADER as u64;
    while at + frame as u64 <= bytes {
        let whole = ((bytes - at) / frame as u64) as usize * frame;
        let read = whole.min(buffer.len());
        let piece = &mut buffer[..read];
        file.read_exact_at(piece, at)?;
        if !piece.chunks_exact(frame).all(|f| scanner.is_sound(f)) {
            break;
        }
        at += read as u64;
    }
    Ok(scanner.committed)
}

struct Scanner {
    page: usize,
    salts: [u8; 8],
    big_endian: bool,
    sums: (u32, u32),
    /// Whether the first page is among the sound frames, and among those up to a commit mark.
    seen: bool,
    committed: bool,
}

impl Scanner {
    fn new(header: &[u8; HEADER]) -> Option<Scanner> {
        let magic = u32_at(header, 0);
        let page = u32_at(header, 8);
        let big_endian = magic & 1 == 1;
        let sums = checksum(big_endian, &header[..24], (0, 0));
        let sound = (512..=65536).contains(&page)
            && page.is_power_of_two()
            && magic & !1 == MAGIC
            && u32_at(header, 4) == 3_007_000
            && sums == (u32_at(header, 24), u32_at(header, 28));
        let mut salts = [0; 8];
        salts.copy_from_slice(&header[16..24]);
        sound.then_some(Scanner { page: page as usize, salts, big_endian, sums, seen: false, committed: false })
    }

    fn is_sound(&mut self, f: &[u8]) -> bool {
        let (page, commit) = (u32_at(f, 0), u32_at(f, 4));
        self.sums = checksum(self.big_endian, &f[..8], self.sums);
        self.sums = checksum(self.big_endian, &f[FRAME_HEADER..], self.sums);
        if f[8..16] != self.salts || page == 0 || self.sums != (u32_at(f, 16), u32_at(f, 20)) {
            return false;
        }
        self.seen |= page == 1;
        self.committed |= self.seen && commit != 0;
        true
    }
}

pub(crate) fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

/// The WAL's checksum: two sums that feed each other, over words in the byte order that the magic number names.
pub(crate) fn checksum(big_endian: bool, data: &[u8], (mut s0, mut s1): (u32, u32)) -> (u32, u32) {
    let word = |b: &[u8], at: usize| {
        let w = [b[at], b[at + 1], b[at + 2], b[at + 3]];
        if big_endian { u32::from_be_bytes(w) } else { u32::from_le_bytes(w) }
    };
    for pair in data.chunks_exact(8) {
        s0 = s0.wrapping_add(word(pair, 0)).wrapping_add(s1);
        s1 = s1.wrapping_add(word(pair, 4)).wrapping_add(s0);
    }
    (s0, s1)
}
