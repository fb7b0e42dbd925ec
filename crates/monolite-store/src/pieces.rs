//! Large values: bytes kept as rows of 64 KiB, so that a gigabyte never holds the writer nor fills memory.
//!
//! A service owns a table of pieces, made by its own migration in this shape:
//!
//! ```sql
//! CREATE TABLE pieces (at INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
//! ```
//!
//! A value has a number of the service's choice, never used twice. Its piece `n` is the row `number * 2^18 + n`: one
//! b-tree in the order of reading, without an index beside it. All pieces but the last have [`PIECE_BYTES`] bytes.
//! Each append, read and step of a removal is a write or a read of its own; other work runs between them.
//!
//! **Invariants**
//! - A value only grows at its end, and only from the length that the caller names.
//! - No call touches more than one piece, but [`Pieces::remove`] and [`Pieces::is_whole`], which say what they touch.
//!
//! Never here: a snapshot held from piece to piece; which values there are, whose they are, when they are removed.

use crate::error::{Error, Kind, Result};
use crate::read::Snapshot;
use crate::write::Tx;
use rusqlite::params;
use std::borrow::Cow;
use std::ops::Range;

/// Bytes of a piece; the last of a value may have fewer.
pub const PIECE_BYTES: u64 = 64 << 10;
/// Most pieces of one value.
pub const PIECES_MAX: u64 = 1 << 18;
/// Most bytes of one value: 16 GiB.
pub const LARGE_VALUE_MAX: u64 = PIECE_BYTES * PIECES_MAX;
/// Most pieces that one step of a removal deletes: about a millisecond of the writer's time.
pub const REMOVED_AT_ONCE: u64 = 16;

/// Numbers of values are below this.
const NUMBERS: u64 = 1 << 44;

/// A service's table of pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pieces(Cow<'static, str>);

impl Pieces {
    /// The table with this name.
    pub const fn table(name: &'static str) -> Self {
        Pieces(Cow::Borrowed(name))
    }

    /// The table whose name came from elsewhere.
    pub fn named(name: String) -> Self {
        Pieces(Cow::Owned(name))
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// How many bytes may be appended at once to a value of this length: to the end of its last piece.
    pub const fn room(length: u64) -> u64 {
        PIECE_BYTES - length % PIECE_BYTES
    }

    /// Appends to a value of this length, which is 0 for a new one; answers the new length.
    ///
    /// # Errors
    /// [`Kind::TooLarge`] above [`LARGE_VALUE_MAX`]; [`Kind::Invalid`] for no bytes, for more than [`Pieces::room`], and
    /// where the value has another length.
    pub fn append(&self, tx: &Tx<'_>, value: u64, length: u64, bytes: &[u8]) -> Result<u64> {
        let added = bytes.len() as u64;
        if length.saturating_add(added) > LARGE_VALUE_MAX {
            return Err(too_large());
        }
        if added == 0 || added > Self::room(length) {
            return Err(invalid("an append has one byte at least, and ends with the value's last piece at most"));
        }
        let (row, within) = (row_of(value, length)?, length % PIECE_BYTES);
        if within == 0 {
            if self.length(tx, value)? != length {
                return Err(other_length());
            }
            tx.execute(&self.sql("INSERT INTO ", " (at, bytes) VALUES (?1, ?2)")?, params![row, bytes])?;
            return Ok(length + added);
        }
        let mut piece = self.piece(tx, row, 0..PIECE_BYTES)?;
        if piece.len() as u64 != within {
            return Err(other_length());
        }
        piece.extend_from_slice(bytes);
        tx.execute(&self.sql("UPDATE ", " SET bytes = ?2 WHERE at = ?1")?, params![row, piece])?;
        Ok(length + added)
    }

    /// The bytes of a value from here to the end of the piece they are in, but no more than so many.
    ///
    /// # Errors
    /// [`Kind::NoRows`] where there is no such piece: the value ends before, or is gone.
    pub fn read(&self, s: &Snapshot<'_>, value: u64, from: u64, most: u64) -> Result<Vec<u8>> {
        let within = from % PIECE_BYTES;
        self.piece(s, row_of(value, from)?, within..within.saturating_add(most))
    }

    /// The length of a value by its last piece; 0 where it has none.
    pub fn length(&self, s: &Snapshot<'_>, value: u64) -> Result<u64> {
        let rows = rows_of(value)?;
        let sql =
            self.sql("SELECT at, octet_length(bytes) FROM ", " WHERE at >= ?1 AND at < ?2 ORDER BY at DESC LIMIT 1")?;
        let last =
            s.query_row(&sql, params![rows.start, rows.end], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u64>(1)?)));
        match last {
            Ok((at, bytes)) => Ok((at - rows.start) as u64 * PIECE_BYTES + bytes),
            Err(error) if error.kind() == Kind::NoRows => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Whether a value has each of its pieces and this length. It looks at every row, but not at their bytes: a slow read.
    pub fn is_whole(&self, s: &Snapshot<'_>, value: u64, length: u64) -> Result<bool> {
        let rows = rows_of(value)?;
        let sql =
            self.sql("SELECT count(*), ifnull(sum(octet_length(bytes)), 0) FROM ", " WHERE at >= ?1 AND at < ?2")?;
        let found: (u64, u64) = s.query_row(&sql, params![rows.start, rows.end], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok(found == (length.div_ceil(PIECE_BYTES), length) && self.length(s, value)? == length)
    }

    /// Deletes a part of a value from its end, at most [`REMOVED_AT_ONCE`] pieces; answers whether there may be more.
    pub fn remove(&self, tx: &Tx<'_>, value: u64) -> Result<bool> {
        let rows = rows_of(value)?;
        let name = self.checked()?;
        let sql = format!(
            "DELETE FROM {name} WHERE at IN (SELECT at FROM {name} WHERE at >= ?1 AND at < ?2 ORDER BY at DESC LIMIT ?3)"
        );
        let removed = tx.execute(&sql, params![rows.start, rows.end, REMOVED_AT_ONCE])?;
        Ok(removed as u64 == REMOVED_AT_ONCE)
    }

    fn piece(&self, s: &Snapshot<'_>, row: i64, within: Range<u64>) -> Result<Vec<u8>> {
        s.query_row(&self.sql("SELECT bytes FROM ", " WHERE at = ?1")?, [row], |row| {
            let bytes = row.get_ref(0)?.as_blob()?;
            let end = bytes.len().min(usize::try_from(within.end).unwrap_or(usize::MAX));
            let start = end.min(usize::try_from(within.start).unwrap_or(usize::MAX));
            Ok(bytes[start..end].to_vec())
        })
    }

    fn sql(&self, before: &str, after: &str) -> Result<String> {
        Ok(format!("{before}{}{after}", self.checked()?))
    }

    /// The name, where it is one: it becomes part of statements.
    fn checked(&self) -> Result<&str> {
        let name = &*self.0;
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if plain { Ok(name) } else { Err(invalid("a table of pieces has a name of letters, digits and _")) }
    }
}

/// The row of the piece that holds this byte.
fn row_of(value: u64, byte: u64) -> Result<i64> {
    if byte >= LARGE_VALUE_MAX {
        return Err(too_large());
    }
    Ok(rows_of(value)?.start + (byte / PIECE_BYTES) as i64)
}

/// All rows that a value may have.
fn rows_of(value: u64) -> Result<Range<i64>> {
    if value >= NUMBERS {
        return Err(invalid("the number of a large value is below 2^44"));
    }
    let first = (value * PIECES_MAX) as i64;
    Ok(first..first + PIECES_MAX as i64)
}

fn invalid(why: &'static str) -> Error {
    Error::new(Kind::Invalid, why)
}

fn other_length() -> Error {
    invalid("the large value has another length than the append says; nothing was added")
}

fn too_large() -> Error {
    Error::new(Kind::TooLarge, format!("a large value has {LARGE_VALUE_MAX} bytes at most"))
}
