//! The giant's bytes: the same at the same place in each run, so that any part can be made again.

use crate::random::Random;
use sha2::{Digest, Sha256};

/// Bytes that are made at once.
pub(super) const BLOCK: u64 = 64 << 10;

/// The block with this number.
pub(super) fn block(number: u64) -> Vec<u8> {
    let mut random = Random::new(number);
    let mut bytes = Vec::with_capacity(BLOCK as usize);
    while bytes.len() < BLOCK as usize {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes
}

/// The SHA-256 of so many bytes from the first.
pub(super) fn sha256(total: u64) -> String {
    let mut hash = Sha256::new();
    for number in 0..total.div_ceil(BLOCK) {
        let left = total - number * BLOCK;
        hash.update(&block(number)[..left.min(BLOCK) as usize]);
    }
    hexadecimal(hash)
}

/// A finished hash as people write it.
pub(super) fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
