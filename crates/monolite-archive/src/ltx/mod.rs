//! LTX version 3: the bytes of one segment.
//!
//! Header, pages in ascending order (each an LZ4 block), an index of them, a trailer with a checksum over all of it.
//! `docs/format/archive.md` has the bytes; the format is Litestream's, and its own page on it is wrong in places.
//!
//! **Invariants**
//! - Encoding and decoding are streams: memory does not grow with the number of pages (the index spills to a file).
//! - The page that holds SQLite's lock byte is never stored.
//! - A decoder that reached the end has checked every byte.
//!
//! Never here: names, places, which segments follow each other.

mod decode;
mod encode;
mod header;
mod index;
mod spill;
mod sum;
#[cfg(test)]
mod tests;
mod varint;

pub use decode::{Decoder, Stand};
pub use encode::{Encoded, Encoder};
pub use header::{HEADER_BYTES, Header};
pub use index::{Frame, Index, page_at};

/// The byte at which SQLite locks a database file.
const LOCKED_BYTE: u64 = 0x4000_0000;
/// Number, flags and size before a page's LZ4 block.
const FRAME_BYTES: usize = 10;
/// A page's flag: its compressed size follows.
const FRAME_SIZED: u16 = 1;
/// What ends the pages: a frame header without its size, all zero.
const END: [u8; 6] = [0; 6];
/// Post-apply checksum (unused) and the file's checksum.
const TRAILER_BYTES: usize = 16;

/// The page that is never stored, because SQLite never uses it: the one with the lock byte.
pub fn lock_page(page_size: u32) -> u32 {
    u32::try_from(LOCKED_BYTE / u64::from(page_size) + 1).expect("page sizes are at least 512")
}
