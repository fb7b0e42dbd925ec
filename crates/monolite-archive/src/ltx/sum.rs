//! The checksum of a segment: CRC-64/GO-ISO with the highest bit set.

use crc_fast::{CrcAlgorithm, Digest};

/// A file's checksum always has this bit, so that zero means none.
const SET: u64 = 1 << 63;

/// A running checksum.
pub(super) struct Sum(Digest);

impl Sum {
    pub(super) fn new() -> Self {
        Sum(Digest::new(CrcAlgorithm::Crc64GoIso))
    }

    /// A sum that goes on from [`Sum::state`].
    pub(super) fn from_state(state: u64) -> Self {
        Sum(Digest::new_with_init_state(CrcAlgorithm::Crc64GoIso, state))
    }

    /// Where the sum stands.
    pub(super) fn state(&self) -> u64 {
        self.0.get_state()
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.finalize() | SET
    }
}

#[test]
fn the_sum_is_crc_64_go_iso() {
    let mut sum = Sum::new();
    sum.update(b"12345");
    let mut sum = Sum::from_state(sum.state());
    sum.update(b"6789");
    assert_eq!(sum.value(), 0xb909_56c7_75a4_1001); // the catalogue's check value has the highest bit already
}
