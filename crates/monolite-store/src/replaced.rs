//! Is the file under the store's name still the one that it opened, with what it copied into it?
//!
//! Two mistakes are meant. `mv` of another file over the name: SQLite goes on with the old one, which has no name any more, and
//! each new connection opens the other. `cp` over it: the old WAL lies over another file's pages, and the next checkpoint
//! mixes them for good.
//!
//! **Invariants**
//! - Before each commit one `lstat`: another file under the name is noticed before anything else is acknowledged.
//! - Only what was seen is a verdict: a name that cannot be looked up refuses the commit at hand, and the next one looks again.
//! - A file that changed is not judged by its time: `sqlite3` may copy the WAL too. It may not hold another store's row, nor the
//!   own one of an older commit than it surely held, nor none where it had one.
//! - Nothing is copied into a file before it was looked at. What `cp` writes while a round copies is not noticed by this.
//! - Where a checkpoint failed in the middle of a page, that page says nothing: it has no right sum.
//! - A store whose file was replaced is quarantined: nothing is written, read, copied or followed any more. Its WAL is put
//!   aside, since SQLite would lay it over the other file at the next opening.

use crate::error::{Error, Kind, Result};
use crate::follow::row;
use crate::place;
use crate::reply::lock;
use crate::sqlite::connection::Connection;
use crate::sqlite::{pages, sums};
use crate::store::Shared;
use crate::write::writer::Writer;
use rusqlite::OptionalExtension;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// What the writer knows of its file.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    /// The file when it was last found to be the store's own; `None` where it has no name in the file system.
    seen: Option<Stamp>,
    /// A commit that it surely holds, and the page of the row that says so.
    copied: u64,
    root: u32,
    /// What the file's header said at the opening: a crash may have left a first page that only the WAL holds whole, or none,
    /// which becomes zeroes when the file grows.
    mode: [u8; 2],
    /// A checkpoint failed in the middle: any page may be there in part, until all is copied again.
    is_torn: bool,
}

/// The header's write and read versions; a file in WAL mode has 2 in both ("Database File Format", section 1.3.3).
const WAL_MODE: [u8; 2] = [2, 2];

fn mode(first: &[u8]) -> Option<[u8; 2]> {
    first.get(18..20)?.try_into().ok()
}

/// A file as `lstat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Result<Option<Stamp>> {
        let of =
            |m: Metadata| Stamp { inode: (m.dev(), m.ino()), bytes: m.len(), changed: (m.mtime(), m.mtime_nsec()) };
        Ok(place::under(path)?.map(of))
    }
}

impl Placed {
    /// The file as it was opened.
    pub(crate) fn begin(shared: &Shared, connection: &Connection) -> Placed {
        let mut placed = Placed { seen: Stamp::of(&shared.path).ok().flatten(), ..Placed::default() };
        if placed.seen.is_some() {
            let first = pages::raw(connection.sqlite(), 1, shared.following.found().page_size);
            placed.mode = first.ok().flatten().and_then(|first| mode(&first)).unwrap_or_default();
            let _ = placed.is_own(shared, connection); // notes what it holds
        }
        placed
    }

    /// What happened to the file, where it is not the store's own any more.
    fn look(&mut self, shared: &Shared, connection: &Connection, copying: bool) -> Result<Option<&'static str>> {
        let Some(seen) = self.seen else { return Ok(None) };
        let now = Stamp::of(&shared.path)?;
        if now == Some(seen) {
            return Ok(None);
        }
        let Some(now) = now else { return Ok(Some("it was removed")) };
        if now.inode != seen.inode {
            return Ok(Some("another file was put in its place"));
        }
        // Rounds of our own change it all the time; it is looked at once they have ended.
        if shared.rounds.is_active() && !copying {
            return Ok(None);
        }
        match self.is_own(shared, connection) {
            Ok(Some(true)) => self.seen = Some(now),
            Ok(Some(false)) => return Ok(Some("other bytes were written into it")),
            Ok(None) | Err(_) => {} // in use, or not to be read now: the next commit looks again
        }
        Ok(None)
    }

    /// Whether the file itself, without the WAL, is the store's own, as far as that can be known. `None`: in use.
    fn is_own(&mut self, shared: &Shared, connection: &Connection) -> Result<Option<bool>> {
        let found = shared.following.found();
        let root = connection.privileged(|c| {
            let root = "SELECT rootpage FROM sqlite_schema WHERE name = '_monolite'";
            c.query_row(root, [], |r| r.get::<_, u32>(0)).optional()
        })?;
        let root = root.unwrap_or(self.root).max(1);
        let (Some(first), Some(page)) = (
            pages::raw(connection.sqlite(), 1, found.page_size)?,
            pages::raw(connection.sqlite(), root, found.page_size)?,
        ) else {
            return Ok(None);
        };
        // Half a page tells of nothing; one that is missing is not half written.
        let is_half = self.is_torn && !page.is_empty() && !sums::is_sound(&page);
        match row::any(&page).filter(|_| !is_half) {
            Some((row, history)) if history == found.history => {
                let is_older = root == self.root && row.sequence < self.copied;
                if !is_older {
                    (self.copied, self.root) = (row.sequence, root);
                }
                return Ok(Some(!is_older));
            }
            Some(_) => return Ok(Some(false)), // of another store
            None => {}
        }
        // A round that a reader held back leaves the row out, as long as the file never had it there; so it does the first
        // page. Every other store's file is in WAL mode, also in half a page: the header lies in one sector.
        let had_it = self.copied > 0 && root == self.root && !is_half;
        let has_mode = |mode: [u8; 2]| mode == WAL_MODE || mode == self.mode;
        Ok(Some(!had_it && mode(&first).is_some_and(has_mode)))
    }
}

/// Gives the WAL another name, which nothing has: what was put aside before stays.
fn put_aside(path: &Path) -> std::io::Result<PathBuf> {
    let wal = place::beside(path, "-wal");
    let mut aside = place::beside(path, "-wal.replaced");
    for number in 2.. {
        match place::rename_new(&wal, &aside) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                aside = place::beside(path, &format!("-wal.replaced.{number}"));
            }
            renamed => return renamed.map(|()| aside),
        }
    }
    unreachable!("numbers do not end")
}

impl Shared {
    /// Whether a checkpoint of our own may have left pages in part.
    pub(crate) fn file_is_torn(&self, is_torn: bool) {
        lock(&self.placed).is_torn = is_torn;
    }

    /// What happened to the file, where it is not the store's own any more. `copying`: asked by who copies the WAL, before that.
    pub(crate) fn look_replaced(&self, connection: &Connection, copying: bool) -> Result<Option<&'static str>> {
        lock(&self.placed).look(self, connection, copying)
    }
}

impl Writer {
    /// Refuses to go on with a file that is not the store's own any more, and quarantines the store.
    pub(crate) fn refuse_replaced(&mut self, copying: bool) -> Result<()> {
        if self.shared.standing.is_quarantined() {
            return Err(self.shared.closed_error());
        }
        let Some(found) = self.shared.look_replaced(&self.connection, copying).transpose() else { return Ok(()) };
        if !self.connection.sqlite().is_autocommit() {
            let _ = self.connection.rollback();
        }
        let what = found.map_err(|e| e.within("nothing was done, since its file may be another one"))?;
        let shared = &self.shared;
        let text = |of_wal: &str| {
            format!(
                "{} is not the file that was opened: {what} while the server had it. Nothing was written to it since that was \
                 noticed, and nothing is answered from it.{of_wal} Stop the server, restore the newest commit from the archive or \
                 a copy, and start; or, to go on from what is there now, remove the .mark beside it",
                shared.path.display()
            )
        };
        shared.standing.quarantine(text(""));
        shared.close_reads();
        shared.copied_at_close.store(true, Ordering::Relaxed); // nothing may be copied any more
        // SQLite deletes the WAL of a file that it finds empty, as `cp` leaves it for a moment.
        let text = match put_aside(&shared.path) {
            Ok(aside) => text(&format!(" Its WAL is kept as {}.", aside.display())),
            Err(e) => text(&format!(" Its WAL could not be kept: {e}.")),
        };
        shared.standing.quarantine(text.clone());
        shared.following.tell();
        Err(Error::new(Kind::Corrupt, text))
    }
}
