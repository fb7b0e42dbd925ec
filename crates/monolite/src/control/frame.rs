//! Frames: a length and that many bytes of JSON, bounded.
//!
//! Not lines: a document's JSON is passed on byte for byte and may hold ends of line.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, Read, Write};

/// The longest frame: an import batch or a page of query results, with room.
pub(super) const FRAME_BYTES_MAX: u64 = 96 << 20;

/// Writes one value: its length as 8 bytes, little-endian, then its JSON.
pub(super) fn send(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut frame = vec![0; 8];
    serde_json::to_writer(&mut frame, value)?;
    let length = frame.len() as u64 - 8;
    frame[..8].copy_from_slice(&length.to_le_bytes());
    to.write_all(&frame)
}

/// Reads one value; none at the end.
pub(super) fn receive<T: DeserializeOwned>(from: &mut impl BufRead, frame: &mut Vec<u8>) -> io::Result<Option<T>> {
    if from.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame on the control socket is too long"));
    }
    frame.clear();
    if from.take(length).read_to_end(frame)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let value = serde_json::from_slice(frame);
    value.map(Some).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    #[test]
    fn a_value_with_ends_of_line_travels_byte_for_byte() {
        let text = "{\n  \"a\": \"b\"\n}";
        let mut wire = Vec::new();
        send(&mut wire, &RawValue::from_string(text.to_owned()).expect("is JSON")).expect("is sent");
        let mut from = io::Cursor::new(&wire);
        let back: Box<RawValue> = receive(&mut from, &mut Vec::new()).expect("is read").expect("is there");
        assert_eq!(back.get(), text);
        assert!(receive::<Box<RawValue>>(&mut from, &mut Vec::new()).expect("ends").is_none());
    }

    #[test]
    fn a_frame_that_is_cut_or_too_long_is_an_error() {
        for wire in [&b"\x05\0\0\0\0\0\0\0nul"[..], &b"\x05\0"[..], &u64::MAX.to_le_bytes()[..]] {
            assert!(receive::<bool>(&mut io::Cursor::new(wire), &mut Vec::new()).is_err());
        }
    }
}
