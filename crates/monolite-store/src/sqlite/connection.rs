//! A connection with its rights, its watch and the store's own statements.
//!
//! **Invariants**
//! - One authorizer for life, set at open; a flag opens it for migrations and the store's own statements.
//! - No connection checkpoints by itself, neither at commit nor at close.
//! - Every connection has a busy timeout of 0: nothing inside waits for an SQLite lock.

use super::raw::{self, RawStatement};
use super::rights::{is_allowed, is_never_allowed};
use super::watch::Watch;
use super::{live, vfs};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::follow::gate::Gate;
use crate::lock::FileLock;
use crate::place;
use crate::planted::planted;
use crate::reply::lock;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection as Sqlite, OpenFlags};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Steps of the virtual machine between two looks of the progress handler.
pub(crate) const STEPS_PER_LOOK: i32 = 500;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The one that changes the file.
    Writer,
    /// Reads; `query_only`.
    Reader,
    /// Copies the WAL into the file.
    Checkpointer,
}

/// A connection of the store.
pub(crate) struct Connection {
    own: Option<Own>, // dropped before `sqlite`
    sqlite: Sqlite,
    rights: Arc<AtomicBool>,
    commits: Arc<AtomicBool>,
    /// Looked at by the progress handler.
    pub(crate) watch: Arc<Watch>,
    /// Frames in the WAL after this connection's last commit.
    pub(crate) wal_frames: Arc<AtomicU64>,
    _lock: Arc<FileLock>, // dropped after `sqlite`: the file is locked while any connection of ours lives
}

/// Opens a store's connections, while the store is open.
pub(crate) struct Opener {
    path: PathBuf,
    config: Config,
    lock: Mutex<Option<Arc<FileLock>>>,
    gate: Arc<Gate>,
    /// The file as it was opened.
    inode: Option<(u64, u64)>,
}

impl Opener {
    /// Without a lock it opens nothing.
    pub(crate) fn new(path: &Path, config: &Config, lock: Option<Arc<FileLock>>, gate: Arc<Gate>) -> Self {
        Opener {
            path: path.to_owned(),
            config: config.clone(),
            lock: Mutex::new(lock),
            gate,
            inode: place::inode(path).ok().flatten(),
        }
    }

    /// A connection with the store's rights.
    pub(crate) fn open(&self, role: Role) -> Result<Connection> {
        let lock = self.lock()?;
        // SQLite deletes the WAL of an empty file: `cp` over it leaves one for a moment.
        let is_empty = std::fs::symlink_metadata(&self.path).is_ok_and(|m| m.len() == 0);
        if is_empty || place::inode(&self.path)? != self.inode {
            let text = format!("{} was removed or replaced by another file while it was open", self.path.display());
            return Err(Error::new(Kind::Corrupt, text));
        }
        let connection = Connection::open(&self.path, role, &self.config, lock)?;
        if role != Role::Reader {
            live::ask_gate(&connection.sqlite, &self.gate)?;
        }
        Ok(connection)
    }

    /// A part of the file's lock, for a connection that is not one of the store's own.
    pub(crate) fn lock(&self) -> Result<Arc<FileLock>> {
        let held = lock(&self.lock).clone();
        held.ok_or_else(|| Error::new(Kind::Closed, format!("{} is closed", self.path.display())))
    }

    /// A connection for callers' statements.
    pub(crate) fn open_for_callers(&self, role: Role) -> Result<Connection> {
        let mut connection = self.open(role)?;
        connection.own_statements(role)?;
        Ok(connection)
    }

    /// No more connections; the lock goes with the last that is open.
    pub(crate) fn close(&self) {
        *lock(&self.lock) = None;
    }
}

/// The flags that open the authorizer and the commit hook.
#[derive(Clone)]
pub(crate) struct Rights {
    rights: Arc<AtomicBool>,
    commits: Arc<AtomicBool>,
    watch: Arc<Watch>,
}

impl Rights {
    /// Runs a caller's code in the middle of the store's own, in a transaction that it must leave as it found it.
    pub(crate) fn lend<T>(&self, sqlite: &Sqlite, deadline: Instant, f: impl FnOnce(&Watch) -> Result<T>) -> Result<T> {
        self.rights.store(false, Relaxed);
        self.commits.store(false, Relaxed);
        self.watch.arm_timed(deadline, None);
        let result = catch_unwind(AssertUnwindSafe(|| f(&self.watch)));
        self.watch.check_deadline(Instant::now());
        self.watch.disarm();
        self.rights.store(true, Relaxed);
        self.commits.store(true, Relaxed);
        let result = result.unwrap_or_else(|_| Err(Error::new(Kind::Panicked, "the code of a batch panicked")));
        if self.watch.tripped().is_some() {
            return Err(Error::new(Kind::Late, "a batch outlived its deadline; make it smaller"));
        }
        if sqlite.is_autocommit() {
            let why = "a batch went on after SQLite had ended its transaction; nothing of it was kept";
            return Err(result.err().unwrap_or_else(|| Error::new(Kind::Internal, why)));
        }
        if result.is_ok() && raw::deferred_keys_are_violated(sqlite) {
            return Err(Error::new(Kind::Constraint, "a deferred foreign key is violated at the end of a batch"));
        }
        result
    }
}

/// The store's own statements.
struct Own {
    begin: RawStatement,
    commit: RawStatement,
    rollback: RawStatement,
    sequence: RawStatement,
    writer: Option<WriterOwn>,
}

struct WriterOwn {
    savepoint: RawStatement,
    release: RawStatement,
    rollback_to: RawStatement,
    set_sequence: RawStatement,
}

impl Connection {
    /// Opens the file. The writer creates it; its own statements come with [`Connection::own_statements`].
    pub(crate) fn open(path: &Path, role: Role, config: &Config, held: Arc<FileLock>) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut sqlite = match (role, config.vfs) {
            // The store's own VFS writes the WAL's frames in large pieces, a checkpoint's pages at a pace: ADR 4, ADR 5.
            (Role::Writer, lower) => {
                let vfs = vfs::register(lower)?;
                Sqlite::open_with_flags_and_vfs(path, flags | OpenFlags::SQLITE_OPEN_CREATE, vfs)?
            }
            (Role::Checkpointer, lower) => Sqlite::open_with_flags_and_vfs(path, flags, vfs::register(lower)?)?,
            (_, Some(lower)) => Sqlite::open_with_flags_and_vfs(path, flags, lower)?,
            (_, None) => Sqlite::open_with_flags(path, flags)?,
        };
        sqlite.busy_timeout(Duration::ZERO)?;
        set_up(&sqlite, role, config)?;
        let rights = Arc::new(AtomicBool::new(true));
        let commits = Arc::new(AtomicBool::new(true));
        let watch = Arc::new(Watch::default());
        let wal_frames = Arc::new(AtomicU64::new(0));
        install_hooks(&mut sqlite, role, &rights, &commits, &wal_frames)?;
        Ok(Connection { own: None, sqlite, rights, commits, watch, wal_frames, _lock: held })
    }

    /// Prepares the store's own statements and closes the rights: from here on the caller's code may run.
    pub(crate) fn own_statements(&mut self, role: Role) -> Result<()> {
        if role != Role::Reader {
            live::tell_of_sums(&self.sqlite)?;
        }
        self.watch.sight.attach(&self.sqlite);
        self.look_while_running()?;
        let c = &self.sqlite;
        let writer = match role {
            Role::Writer => Some(WriterOwn {
                savepoint: RawStatement::new(c, c"SAVEPOINT w")?,
                release: RawStatement::new(c, c"RELEASE w")?,
                rollback_to: RawStatement::new(c, c"ROLLBACK TO w")?,
                set_sequence: RawStatement::new(
                    c,
                    c"UPDATE _monolite SET sequence = ?1, writer_epoch = ?2 WHERE id = 1 AND writer_epoch = ?3 AND sequence = ?1 - 1 RETURNING 1, 1",
                )?,
            }),
            _ => None,
        };
        self.own = Some(Own {
            begin: RawStatement::new(c, if writer.is_some() { c"BEGIN IMMEDIATE" } else { c"BEGIN" })?,
            commit: RawStatement::new(c, c"COMMIT")?,
            rollback: RawStatement::new(c, c"ROLLBACK")?,
            sequence: RawStatement::new(c, c"SELECT sequence, writer_epoch FROM _monolite WHERE id = 1")?,
            writer,
        });
        self.rights.store(false, Relaxed);
        self.commits.store(false, Relaxed);
        Ok(())
    }

    /// Lets the watch stop statements.
    pub(crate) fn look_while_running(&mut self) -> Result<()> {
        let looks = self.watch.clone();
        Ok(self.sqlite.progress_handler(STEPS_PER_LOOK, Some(move || looks.look()))?)
    }

    /// rusqlite's connection, for callers' statements.
    pub(crate) fn sqlite(&self) -> &Sqlite {
        &self.sqlite
    }

    /// rusqlite's connection, for migrations before the store's own statements exist.
    pub(crate) fn sqlite_mut(&mut self) -> &mut Sqlite {
        &mut self.sqlite
    }

    /// The flags, to lend the connection to a caller's code in the middle of the store's own.
    pub(crate) fn rights(&self) -> Rights {
        Rights { rights: self.rights.clone(), commits: self.commits.clone(), watch: self.watch.clone() }
    }

    /// Runs with the store's rights: DDL, PRAGMA, transaction words and its own tables.
    pub(crate) fn privileged<T>(&self, f: impl FnOnce(&Sqlite) -> T) -> T {
        let before = (self.rights.load(Relaxed), self.commits.load(Relaxed));
        self.rights.store(true, Relaxed);
        self.commits.store(true, Relaxed);
        let value = f(&self.sqlite);
        self.rights.store(before.0, Relaxed);
        self.commits.store(before.1, Relaxed);
        value
    }

    pub(crate) fn begin(&self) -> Result<()> {
        self.run(|own| own.begin.run())
    }

    /// Makes the transaction durable; a statement that a caller left in the middle of its rows does not outlive it.
    pub(crate) fn commit(&self) -> Result<()> {
        match self.run(|own| own.commit.run()) {
            // Refused before anything was written: a changing statement was left in the middle of its rows.
            Err(e) if e.kind() == Kind::Busy && !self.sqlite.is_autocommit() => {
                raw::reset_busy_statements(&self.sqlite);
                self.run(|own| own.commit.run())?;
            }
            committed => committed?,
        }
        if raw::holds_snapshot(&self.sqlite) {
            raw::reset_busy_statements(&self.sqlite);
        }
        Ok(())
    }

    /// Ends the transaction without its changes; statements left busy are reset first.
    pub(crate) fn rollback(&self) -> Result<()> {
        raw::reset_busy_statements(&self.sqlite);
        if self.sqlite.is_autocommit() { Ok(()) } else { self.run(|own| own.rollback.run()) }
    }

    pub(crate) fn savepoint(&self) -> Result<()> {
        self.run(|own| own.writer().savepoint.run())
    }

    /// Makes the savepoint part of the transaction; statements left busy are reset.
    pub(crate) fn release(&self) -> Result<()> {
        self.run(|own| own.writer().release.run()).or_else(|_| {
            raw::reset_busy_statements(&self.sqlite);
            self.run(|own| own.writer().release.run())
        })
    }

    /// Undoes the savepoint's changes and removes it.
    pub(crate) fn undo(&self) -> Result<()> {
        if planted!("savepoint_not_undone") {
            return self.release();
        }
        raw::reset_busy_statements(&self.sqlite);
        self.run(|own| own.writer().rollback_to.run())?;
        self.run(|own| own.writer().release.run())
    }

    /// Ends a read transaction so that nothing of it stays.
    pub(crate) fn end_read(&self) -> Result<()> {
        let ended = if self.sqlite.is_autocommit() { Ok(()) } else { self.commit() };
        if raw::holds_snapshot(&self.sqlite) {
            raw::reset_busy_statements(&self.sqlite);
            return if self.sqlite.is_autocommit() { Ok(()) } else { self.run(|own| own.rollback.run()) };
        }
        ended
    }

    /// The file's (sequence, writer epoch) in the open transaction.
    pub(crate) fn sequence(&self) -> Result<(u64, i64)> {
        let row = self.run(|own| own.sequence.query(&[]))?;
        let (sequence, epoch) = row.ok_or_else(|| Error::new(Kind::Corrupt, "the table _monolite lost its row"))?;
        Ok((sequence as u64, epoch))
    }

    /// Writes the sequence and the writer epoch; answers whether this writer still owns the file.
    pub(crate) fn set_sequence(&self, sequence: u64, epoch: i64, epoch_before: i64) -> Result<bool> {
        let values = [sequence as i64, epoch, epoch_before];
        Ok(self.run(|own| own.writer().set_sequence.query(&values))?.is_some())
    }

    fn run<T>(&self, f: impl FnOnce(&Own) -> rusqlite::Result<T>) -> Result<T> {
        self.watch.disarm();
        let own = self.own.as_ref().expect("own statements are prepared before a connection is used");
        Ok(self.privileged(|_| f(own))?)
    }
}

impl Own {
    fn writer(&self) -> &WriterOwn {
        self.writer.as_ref().expect("only the writer's connection runs this")
    }
}

fn set_up(c: &Sqlite, role: Role, config: &Config) -> Result<()> {
    c.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    c.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    c.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    c.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    c.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    c.set_limit(Limit::SQLITE_LIMIT_LENGTH, i32::try_from(config.value_max).unwrap_or(i32::MAX))?;
    c.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    c.set_prepared_statement_cache_capacity(config.statements_max);
    let cache = match role {
        Role::Writer => config.writer_cache_bytes,
        Role::Reader => config.reader_cache_bytes,
        Role::Checkpointer => 64 << 10,
    };
    let kib = (cache >> 10).max(64);
    c.execute_batch(&format!(
        "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA foreign_keys=ON; PRAGMA mmap_size=0;
         PRAGMA cell_size_check=ON; PRAGMA cache_size=-{kib};"
    ))?;
    match role {
        Role::Writer => c.execute_batch("PRAGMA temp_store=MEMORY;")?,
        Role::Reader => c.execute_batch("PRAGMA query_only=ON;")?,
        Role::Checkpointer => {}
    }
    Ok(())
}

fn install_hooks(
    c: &mut Sqlite,
    role: Role,
    rights: &Arc<AtomicBool>,
    commits: &Arc<AtomicBool>,
    wal_frames: &Arc<AtomicU64>,
) -> Result<()> {
    let open = rights.clone();
    c.authorizer(Some(move |context: AuthContext<'_>| {
        let allowed = if open.load(Relaxed) { !is_never_allowed(&context.action) } else { is_allowed(&context.action) };
        if allowed { Authorization::Allow } else { Authorization::Deny }
    }))?;
    if role == Role::Writer {
        let asked = commits.clone();
        c.commit_hook(Some(move || !asked.load(Relaxed)))?;
        let frames = wal_frames.clone();
        c.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            frames.store(pages as u64, Relaxed);
            Ok(())
        }))?;
    }
    Ok(())
}
