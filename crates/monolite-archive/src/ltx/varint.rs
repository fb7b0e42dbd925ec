//! Numbers of the index: seven bits a byte, the lowest first, the highest bit says that more follow.

use crate::{Error, Result};
use std::io::Read;

/// The longest: 64 bits in groups of seven.
pub(super) const MAX: usize = 10;

/// Appends a number.
pub(super) fn put(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

/// Reads a number; its bytes are appended to `seen`.
pub(super) fn take(from: &mut impl Read, seen: &mut Vec<u8>) -> Result<u64> {
    let mut number = 0u64;
    for group in 0..MAX {
        let mut byte = [0];
        from.read_exact(&mut byte).map_err(|e| Error::io("reading the index", e))?;
        seen.push(byte[0]);
        let bits = u64::from(byte[0] & 0x7f);
        if group == MAX - 1 && bits > 1 {
            break;
        }
        number |= bits << (7 * group);
        if byte[0] < 0x80 {
            return Ok(number);
        }
    }
    Err(Error::damaged("a number of the index does not end"))
}

#[test]
fn numbers_come_back() {
    for number in [0, 1, 0x7f, 0x80, 300, u64::from(u32::MAX), u64::MAX] {
        let (mut bytes, mut seen) = (Vec::new(), Vec::new());
        put(number, &mut bytes);
        assert_eq!(take(&mut &bytes[..], &mut seen).unwrap(), number);
        assert_eq!(seen, bytes);
    }
    assert!(take(&mut &[0xff; 11][..], &mut Vec::new()).is_err());
    assert!(take(&mut &[0x80][..], &mut Vec::new()).is_err());
}
