//! The store's own row as it lies in a page: which commit is this?
//!
//! Each commit of a store writes the one row of `_monolite`, so the page that holds it is among the commit's frames. Which
//! page that is may change (VACUUM, incremental vacuum), so it is known by what it holds: a table leaf with one cell, rowid
//! 1, four columns, the last of them the file's history id. Layout: SQLite's "Database File Format", sections 1.6 and 2.1.

/// What the row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) sequence: u64,
    pub(crate) epoch: i64,
}

const TABLE_LEAF: u8 = 0x0D;
/// Serial type of a blob of 16 bytes.
const BLOB_16: u64 = 16 * 2 + 12;

/// The row in a page, where the page is the one that holds it.
pub(crate) fn row(page: &[u8], history: &[u8; 16]) -> Option<Row> {
    any(page).filter(|(_, of)| of == history).map(|(row, _)| row)
}

/// The row of whichever history, where the page looks as if it held one.
pub(crate) fn any(page: &[u8]) -> Option<(Row, [u8; 16])> {
    if *page.first()? != TABLE_LEAF || *page.get(3..5)? != [0, 1] {
        return None;
    }
    let at = usize::from(u16::from_be_bytes([*page.get(8)?, *page.get(9)?]));
    let mut cell = page.get(at..)?;
    let _payload = varint(&mut cell)?;
    if varint(&mut cell)? != 1 {
        return None;
    }
    let mut types = [0u64; 4];
    let whole = cell;
    let header = usize::try_from(varint(&mut cell)?).ok()?;
    for kind in &mut types {
        *kind = varint(&mut cell)?;
    }
    let mut body = whole.get(header..)?;
    if whole.len() - cell.len() != header || types[0] != 0 || types[3] != BLOB_16 {
        return None;
    }
    let sequence = integer(types[1], &mut body)?;
    let epoch = integer(types[2], &mut body)?;
    let history = body.get(..16)?.try_into().ok()?;
    Some((Row { sequence: u64::try_from(sequence).ok()?, epoch }, history))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for n in 0..9 {
        let byte = *bytes.get(n)?;
        if n == 8 {
            value = (value << 8) | u64::from(byte);
        } else {
            value = (value << 7) | u64::from(byte & 0x7F);
        }
        if n == 8 || byte < 0x80 {
            *bytes = &bytes[n + 1..];
            return Some(value);
        }
    }
    None
}

fn integer(kind: u64, body: &mut &[u8]) -> Option<i64> {
    let length = match kind {
        8 => return Some(0),
        9 => return Some(1),
        1..=4 => kind as usize,
        5 => 6,
        6 => 8,
        _ => return None,
    };
    let bytes = body.get(..length)?;
    let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1i64 };
    let value = bytes.iter().fold(sign, |value, byte| (value << 8) | i64::from(*byte));
    *body = &body[length..];
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn the_row_is_found_whatever_its_numbers_take() {
        let history = [7u8; 16];
        for page in [512, 4096, 65536] {
            for (sequence, epoch) in
                [(0, 0), (1, 1), (127, 2), (128, 300), (70_000, -1), (1 << 40, 1 << 33), (i64::MAX, 9)]
            {
                let c = Connection::open_in_memory().unwrap();
                c.execute_batch(&format!(
                    "PRAGMA page_size={page}; CREATE TABLE other(a);
                     CREATE TABLE _monolite(id INTEGER PRIMARY KEY CHECK (id = 1), sequence INTEGER NOT NULL, writer_epoch INTEGER NOT NULL, history_id BLOB NOT NULL) STRICT;"
                ))
                .unwrap();
                c.execute("INSERT INTO _monolite VALUES(1, ?1, ?2, ?3)", rusqlite::params![sequence, epoch, history])
                    .unwrap();
                let mut found = Vec::new();
                let mut pages = c.prepare("SELECT data FROM sqlite_dbpage").unwrap();
                let mut rows = pages.query([]).unwrap();
                while let Some(r) = rows.next().unwrap() {
                    let bytes: Vec<u8> = r.get(0).unwrap();
                    found.extend(row(&bytes, &history));
                    assert_eq!(row(&bytes, &[8; 16]), None);
                }
                assert_eq!(found, [Row { sequence: sequence as u64, epoch }]);
            }
        }
    }

    #[test]
    fn a_page_of_rubbish_is_no_row() {
        let mut page = vec![0xFFu8; 4096];
        page[0] = TABLE_LEAF;
        page[3..5].copy_from_slice(&[0, 1]);
        for at in [0u16, 8, 4080, 4095, 4096, 65535] {
            page[8..10].copy_from_slice(&at.to_be_bytes());
            assert_eq!(row(&page, &[0xFF; 16]), None);
        }
    }
}
