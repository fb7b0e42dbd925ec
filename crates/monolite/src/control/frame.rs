//! Frames: one JSON value a line, bounded.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, Read, Write};

/// The longest line: an import batch or a page of query results, with room.
pub(super) const LINE_BYTES_MAX: u64 = 96 << 20;

/// Writes one value as a line.
pub(super) fn send(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Reads one line as a value; none at the end.
pub(super) fn receive<T: DeserializeOwned>(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<T>> {
    line.clear();
    from.take(LINE_BYTES_MAX).read_until(b'\n', line)?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => {
            let value = serde_json::from_slice(line);
            value.map(Some).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
        }
        Some(_) if line.len() as u64 == LINE_BYTES_MAX => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a line on the control socket is too long"))
        }
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
