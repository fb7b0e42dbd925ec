//! A read-only SQLite connection to a service's file, beside or without the store that owns it.
//!
//! **Invariants**
//! - The connection cannot write: SQLite refuses, not we. It never checkpoints, at close neither.
//! - Of a stopped server's file the lock is shared meanwhile, so that no server starts under a long look.

use super::ServiceFile;
use crate::sql::{self, Bounds, Rows};
use crate::verb::Usage;
use anyhow::{Context as _, bail};
use monolite_store::Store;
use monolite_store::rusqlite::config::DbConfig;
use monolite_store::rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use monolite_store::rusqlite::limits::Limit;
use monolite_store::rusqlite::{Connection, OpenFlags};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

/// Opcodes between two looks at the clock.
const STEPS: i32 = 1000;

/// What a database begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Who holds the file that is read.
#[derive(Clone, Copy)]
pub(crate) enum Owner<'a> {
    /// A store of this process.
    Store(&'a Store),
    /// Nobody: the server is stopped, and is kept from starting meanwhile.
    Nobody,
}

/// Reads one file.
pub(crate) struct Reader {
    connection: Connection,
    _locks: Vec<File>,
    /// Of a join, each service with its last commit.
    at: Vec<(String, u64)>,
}

impl Reader {
    /// Opens a file.
    pub(crate) fn open(path: &Path, owner: Owner<'_>) -> crate::Result<Reader> {
        // A missing file must not look like a damaged one.
        std::fs::metadata(path).with_context(|| cannot(path))?;
        let lock = match owner {
            Owner::Store(_) => None,
            Owner::Nobody => {
                look_at_header(path)?;
                share_lock(path)?
            }
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).with_context(|| cannot(path))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let header = connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0));
        header.with_context(|| cannot(path))?;
        Ok(Reader { connection, _locks: lock.into_iter().collect(), at: Vec::new() })
    }

    /// Opens all files of a stopped server on one connection, each as a schema under its service's name. Nobody writes
    /// while their locks are shared, so all are of one moment.
    pub(crate) fn open_all(files: &[(ServiceFile, Owner<'_>)]) -> crate::Result<Reader> {
        // Attached files are opened with the flags of the connection.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(":memory:", flags)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let mut locks = Vec::new();
        for (ServiceFile { path, .. }, _) in files {
            look_at_header(path)?;
            locks.extend(share_lock(path)?);
        }
        let mut at = Vec::new();
        for (ServiceFile { path, service }, _) in files {
            let name = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
            connection.execute("ATTACH ?1 AS ?2", (name, service)).with_context(|| cannot(path))?;
            let sql = format!("SELECT sequence FROM \"{}\"._monolite", service.replace('"', "\"\""));
            let sequence = connection.query_row(&sql, [], |row| row.get(0)).with_context(|| cannot(path))?;
            at.push((service.clone(), sequence));
        }
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        Ok(Reader { connection, _locks: locks, at })
    }

    /// The connection, for statements of our own.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs a statement that somebody typed.
    pub(crate) fn query(&mut self, sql: &str, bounds: Bounds) -> crate::Result<Rows> {
        let until = Instant::now() + bounds.time_max;
        self.connection.authorizer(Some(only_reads))?;
        self.connection.progress_handler(STEPS, Some(move || Instant::now() > until))?;
        let mut statement = self.connection.prepare(sql).map_err(|e| sql::told(e.into()))?;
        match sql::rows(&mut statement, bounds)? {
            Some(rows) => Ok(Rows { at: self.at.clone(), ..rows }),
            None => Err(Usage(sql::WRITES.to_owned()).into()),
        }
    }
}

/// The last commit and the history of a file that no store has open.
pub(crate) fn known(path: &Path) -> crate::Result<(u64, String)> {
    let reader = Reader::open(path, Owner::Nobody)?;
    let sql = "SELECT sequence, lower(hex(history_id)) FROM _monolite WHERE id = 1";
    let row = reader.connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    row.with_context(|| format!("{} is no file of a service", path.display()))
}

fn cannot(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

/// Refuses what is no database by its first bytes: SQLite would not look at them while the WAL holds a first page.
/// Only where no connection of this process has the file: closing it here would drop that connection's locks.
fn look_at_header(path: &Path) -> crate::Result {
    let mut first = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut first))
        .with_context(|| cannot(path))?;
    if !first.is_empty() && first != MAGIC {
        bail!("{} is not a database", path.display());
    }
    Ok(())
}

/// Shares the store's lock; none where there is no lock file, so no store ever was.
fn share_lock(path: &Path) -> crate::Result<Option<File>> {
    let mut name = path.to_owned().into_os_string();
    name.push(".lock");
    let Ok(file) = File::open(&name) else { return Ok(None) };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(file)),
        Err(_) => {
            let note = std::fs::read_to_string(&name).unwrap_or_default();
            let holder =
                note.split_ascii_whitespace().next().map(|pid| format!(" (process {pid})")).unwrap_or_default();
            bail!("{} is in use by another program{holder} that answers on no control socket here", path.display())
        }
    }
}

fn only_reads(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Allow
        }
        // FTS5 asks for this one by itself.
        AuthAction::Pragma { pragma_name: "data_version", pragma_value: None } => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::Duration;

    const BOUNDS: Bounds = Bounds { rows_max: 10, time_max: Duration::from_millis(300) };

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x y?.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES (7)").unwrap();
        (folder, path)
    }

    #[test]
    fn a_reader_reads_and_cannot_do_more() {
        let (_folder, path) = file();
        let mut reader = Reader::open(&path, Owner::Nobody).unwrap();
        assert_eq!(reader.query("SELECT a FROM t", BOUNDS).unwrap().rows[0][0], 7);
        for sql in [
            "DELETE FROM t",
            "ATTACH '/tmp/other.db' AS x",
            "PRAGMA journal_mode=DELETE",
            "SELECT load_extension('x')",
            "BEGIN IMMEDIATE",
            "VACUUM INTO '/tmp/x.db'",
            "nonsense",
        ] {
            assert!(reader.query(sql, BOUNDS).is_err(), "{sql}");
        }
    }

    #[test]
    fn a_statement_without_end_is_ended() {
        let (_folder, path) = file();
        let mut reader = Reader::open(&path, Owner::Nobody).unwrap();
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
        assert!(reader.query(endless, BOUNDS).unwrap_err().to_string().contains("interrupted"));
    }

    #[test]
    fn a_locked_file_is_refused_with_its_holder() {
        let (_folder, path) = file();
        let mut lock = path.clone().into_os_string();
        lock.push(".lock");
        std::fs::write(&lock, "4711 monolite\n").unwrap();
        let held = File::open(&lock).unwrap();
        rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        let refused = Reader::open(&path, Owner::Nobody).err().unwrap().to_string();
        assert!(refused.contains("4711"), "{refused}");
        drop(held);
        Reader::open(&path, Owner::Nobody).unwrap();
    }

    #[test]
    fn what_is_no_database_is_an_error_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        assert!(format!("{:#}", Reader::open(&path, Owner::Nobody).err().unwrap()).contains("No such file"));
        std::fs::write(&path, "this is no database, but long enough to look like one".repeat(100)).unwrap();
        let refused = format!("{:#}", Reader::open(&path, Owner::Nobody).err().unwrap());
        assert!(refused.contains("x.db") && refused.contains("not a database"), "{refused}");
    }
}
