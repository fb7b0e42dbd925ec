//! Opening a store's file: the place, the lock, the header, the WAL, the shape.
//!
//! **Invariants**
//! - Everything that reads the file by itself happens before SQLite opens it, under the store's lock.
//! - WAL mode is set once, before the first reader opens.
//! - A file is refused rather than repaired; nothing is changed in one that is refused.

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::follow::{self, gate::Gate};
use crate::header::{self, Found};
use crate::lock::FileLock;
use crate::mark::{self, Mark, Sums};
use crate::migrate::{self, Migrations, PendingStepwise};
use crate::reply::far_from_now;
use crate::sqlite::connection::{Connection, Role};
use crate::sqlite::{live, version};
use crate::write::Tx;
use crate::{maintain, place, wal, wal_scan};
use rusqlite::Connection as Sqlite;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

/// A file that is ready to be served.
pub(crate) struct Opened {
    pub(crate) lock: Arc<FileLock>,
    pub(crate) connection: Connection,
    pub(crate) steps: Vec<PendingStepwise>,
    /// What the file was at before its migrations.
    pub(crate) found: follow::Found,
    /// When that was written, as the files say.
    pub(crate) written: Option<SystemTime>,
    /// The last commit now.
    pub(crate) sequence: u64,
    pub(crate) forks: Vec<(u64, u64)>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) sums: Sums,
    pub(crate) warnings: Vec<String>,
}

pub(crate) fn open(path: &Path, config: &Config, migrations: &Migrations) -> Result<Opened> {
    let warnings = version::check()?;
    place::prepare_folder(path)?;
    let lock = FileLock::acquire(path)?;
    let found = match header::inspect(path, &lock) {
        // A checkpoint that the power cut ended may have damaged the file's first page; then the WAL has it.
        Err(e) if e.kind() == Kind::Corrupt && wal_scan::holds_first_page(path, config.vfs)? => Found::Beside,
        found => found?,
    };
    let written = place::written(path);
    let is_new = matches!(found, Found::Missing | Found::New);
    // Looked at before anything of ours touches the file. A file that is made now gets its sums with its pages.
    let sums = if is_new { Sums::Whole } else { mark::sums_of(path) };
    if is_new {
        mark::check_new(path)?;
        refuse_orphaned_wal(path)?;
    }
    if found == Found::Missing {
        header::create(path, &lock)?;
    }
    wal::make_durable(path, &lock, config.vfs)?;
    let lock = Arc::new(lock);
    let gate = Arc::new(Gate::new(config.followed));
    let mut connection = Connection::open(path, Role::Writer, config, lock.clone())?;
    live::ask_gate(connection.sqlite(), &gate)?;
    match found {
        Found::Missing | Found::New => create(connection.sqlite())?,
        Found::Existing(_) | Found::Beside => {
            let sqlite = connection.sqlite();
            wal::settle(sqlite, path, config.vfs, || check_mark(sqlite, path).map(drop))?;
            take_over(sqlite, path)?;
        }
    }
    let forks = maintain::forks(connection.sqlite())?;
    let history = mark::known(connection.sqlite())?.map(|mark| mark.history).unwrap_or_default();
    // Before the file is brought up: migrations commit, and a follower compares what was there.
    let found = found_in(connection.sqlite(), history)?;
    let steps = bring_up(&mut connection, config, migrations)?;
    if let Some(frames) = wal::frames(connection.sqlite())? {
        connection.wal_frames.store(frames, Relaxed);
    }
    connection.own_statements(Role::Writer)?;
    let (sequence, _) = connection.sequence()?;
    Ok(Opened { lock, connection, steps, found, written, sequence, forks, gate, sums, warnings })
}

/// What the file is at.
fn found_in(sqlite: &Sqlite, history: [u8; 16]) -> Result<follow::Found> {
    let page_size = sqlite.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let read = "SELECT sequence, writer_epoch FROM _monolite WHERE id = 1";
    let (sequence, epoch) = sqlite.query_row(read, [], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
    Ok(follow::Found { history, sequence: sequence as u64, epoch, page_size })
}

/// Gives a new file its format and the store's own table.
fn create(sqlite: &Sqlite) -> Result<()> {
    // Room for a checksum on each page stays possible: 8 bytes that SQLite leaves alone.
    sqlite.file_control(None::<&str>, rusqlite::FileControl::ReserveBytes(&mut 8))?;
    sqlite.execute_batch("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;")?;
    into_wal_mode(sqlite)?;
    sqlite.execute_batch(OWN_TABLE)?;
    Ok(())
}

const OWN_TABLE: &str = "
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS _monolite (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        sequence INTEGER NOT NULL,
        writer_epoch INTEGER NOT NULL,
        history_id BLOB NOT NULL
    ) STRICT;
    INSERT OR IGNORE INTO _monolite VALUES (1, 1, 0, randomblob(16));
    COMMIT;";

/// Checks a file that is there; one that SQLite made without us gets the store's own table.
fn take_over(sqlite: &Sqlite, path: &Path) -> Result<()> {
    let found = check_mark(sqlite, path)?;
    into_wal_mode(sqlite)?;
    if found.is_none() {
        sqlite.execute_batch(OWN_TABLE)?;
    }
    Ok(())
}

/// Refuses a file that lost acknowledged commits; answers what it knows of itself.
fn check_mark(sqlite: &Sqlite, path: &Path) -> Result<Option<Mark>> {
    let found = mark::known(sqlite)?;
    match found {
        Some(found) => mark::check(path, found)?,
        None => mark::check_new(path)?,
    }
    Ok(found)
}

/// SQLite deletes the WAL of an empty file without a word.
fn refuse_orphaned_wal(path: &Path) -> Result<()> {
    let bytes = std::fs::symlink_metadata(place::beside(path, "-wal")).map_or(0, |m| m.len());
    if bytes <= WAL_HEADER {
        return Ok(());
    }
    let text = format!(
        "the file is missing or empty, but a WAL of {bytes} bytes lies beside it. Nothing was changed. Restore the database from a \
         copy, or move the -wal away to begin anew"
    );
    Err(Error::new(Kind::Corrupt, text))
}

/// A WAL of no more than this holds nothing.
const WAL_HEADER: u64 = 32;

fn into_wal_mode(sqlite: &Sqlite) -> Result<()> {
    // To its end: it answers the mode first and commits the change after, so that one row says nothing.
    let mut pragma = sqlite.prepare("PRAGMA journal_mode = WAL")?;
    let (mut rows, mut mode) = (pragma.query([])?, String::new());
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(Error::new(Kind::Unsupported, format!("the file cannot be put into WAL mode; SQLite answers {mode:?}")))
}

fn bring_up(connection: &mut Connection, config: &Config, migrations: &Migrations) -> Result<Vec<PendingStepwise>> {
    let rights = connection.rights();
    migrate::apply(connection.sqlite_mut(), migrations, config.quick_rows_max, &mut |sqlite, batch| {
        rights.lend(sqlite, far_from_now(config.deadline), |watch| batch(&Tx::new(sqlite, watch, 0)))
    })
}
