//! Reading pages of a store through SQLite, some at a time, for a copy of the whole file.
//!
//! **Invariants**
//! - A read holds its snapshot for some tens of milliseconds, and its connection no longer: a store that ends is not kept.

use crate::error::{Error, Kind, Result};
use crate::read::{Active, Length};
use crate::sqlite::connection::Role;
use crate::store::Shared;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Most pages of one reading.
pub const PAGES_MAX: u32 = 1 << 16;
/// How long a reading's snapshot may be held before it ends with what it has.
const HELD_MAX: Duration = Duration::from_millis(50);
/// Pages between two looks at the clock.
const PER_LOOK: u32 = 16;

/// What a reading of pages saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The last commit in its snapshot.
    pub sequence: u64,
    /// The writer epoch of that commit.
    pub epoch: i64,
    /// Pages in the file at that moment.
    pub pages_in_file: u32,
    /// Bytes of a page.
    pub page_size: u32,
    /// Pages read; the page of the locked byte is among them, as zeros.
    pub read: u32,
}

/// Reads a store's pages; it keeps neither the store nor its file's lock alive.
#[derive(Clone)]
pub struct PageReader(Arc<Shared>);

impl PageReader {
    pub(super) fn new(shared: Arc<Shared>) -> PageReader {
        PageReader(shared)
    }

    /// The last published commit; also once the store is closed.
    pub fn published(&self) -> u64 {
        self.0.epoch.load(Ordering::Acquire)
    }

    /// Reads pages as of one moment, for about 50 ms at most: from this page on, at most so many.
    ///
    /// # Errors
    /// Those of a read; [`Kind::Closed`].
    pub fn read(&self, from: u32, count: u32, into: &mut Vec<u8>) -> Result<Seen> {
        read(&self.0, from, count, into)
    }
}

fn read(shared: &Shared, from: u32, count: u32, into: &mut Vec<u8>) -> Result<Seen> {
    into.clear();
    // A store that closes waits for it; it is too short to be in the way of anything else.
    let _active = Active::enter(&shared.reads.slow, Length::Short);
    let connection = shared.opener.open(Role::Reader)?; // refuses another file under the name
    let sqlite = connection.sqlite();
    sqlite.execute_batch("PRAGMA cache_size = 16; BEGIN")?;
    let began = Instant::now();
    let (sequence, epoch): (i64, i64) =
        sqlite.query_row("SELECT sequence, writer_epoch FROM _monolite WHERE id = 1", [], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })?;
    let pages_in_file: u32 = sqlite.query_row("PRAGMA page_count", [], |r| r.get(0))?;
    let page_size: u32 = sqlite.query_row("PRAGMA page_size", [], |r| r.get(0))?;
    let mut page = sqlite.prepare("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")?;
    let end = from.max(1).saturating_add(count.min(PAGES_MAX)).min(pages_in_file.saturating_add(1));
    let mut read = 0;
    for number in from.max(1)..end {
        if read % PER_LOOK == 0 && read > 0 && began.elapsed() > HELD_MAX {
            break;
        }
        let before = into.len();
        page.query_row([number], |row| {
            into.extend_from_slice(row.get_ref(0)?.as_blob()?);
            Ok(())
        })?;
        if into.len() - before != page_size as usize {
            return Err(Error::new(Kind::Corrupt, format!("page {number} has {} bytes", into.len() - before)));
        }
        read += 1;
    }
    Ok(Seen { sequence: sequence as u64, epoch, pages_in_file, page_size, read })
}
