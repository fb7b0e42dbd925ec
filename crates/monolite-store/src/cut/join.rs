//! A join: one connection that reads several files at one moment, each as a schema under its store's name.
//!
//! For operators, not for services: it sees every table of every file. The files are attached to an empty database in
//! memory. A transaction begins in an attached file when it is first read, so each is read within the window in which
//! the epochs are looked at, before any statement of the caller's.
//!
//! **Invariants**
//! - It only reads: `query_only`, and an authorizer that lets nothing else through, no ATTACH and no PRAGMA either.
//! - It never checkpoints, at close neither, and is held to a cut's limits.

use super::agree::{Snapshots, agree};
use super::held::{Connected, Held};
use super::{Taking, look_where_asked};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::lock::FileLock;
use crate::sqlite::connection::STEPS_PER_LOOK;
use crate::sqlite::raw::RawStatement;
use crate::sqlite::rights::only_reads;
use crate::sqlite::watch::Watch;
use crate::store::{Shared, Store};
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{CachedStatement, Connection as Sqlite, OpenFlags, Params, Row};
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Several files at one moment on one connection, until it is dropped.
pub struct Join {
    held: Arc<Held<Attached>>,
    sequences: Vec<u64>,
    taking: Taking,
}

/// What the closure of a join gets: statements that read, with tables as `Users.users`.
pub struct Joined<'a>(&'a Sqlite);

impl Join {
    /// Attaches the files of these stores and takes a cut over them. It ends as a cut does.
    ///
    /// # Errors
    /// Those of [`super::Cut::take`]; [`Kind::Invalid`] where two stores have one name, or too many are named.
    pub fn open(stores: &[Store]) -> Result<Join> {
        let age = stores.iter().map(|s| s.config().slow_time_max).min();
        let shared: Vec<&Arc<Shared>> = stores.iter().map(Store::shared).collect();
        look_where_asked(&shared)?;
        let held = Held::open(&shared, age, || Attached::open(&shared))?;
        // Made first, so that its drop ends what an error leaves.
        let mut join = Join { held, sequences: Vec::new(), taking: Taking { retries: 0, paused: false } };
        (join.sequences, join.taking) = agree(&shared, &mut Together { held: &join.held, stores: &shared })?;
        Ok(join)
    }

    /// The last commit that each file's snapshot contains.
    pub fn sequences(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.sequences.iter().copied()
    }

    /// How it came to be.
    pub fn taking(&self) -> Taking {
        self.taking
    }

    /// Reads on the calling thread to the end, until the deadline or the cut's own end. Not for async workers.
    ///
    /// # Errors
    /// The closure's own; [`Kind::TooLong`] at the deadline or the end.
    pub fn read<T, E>(&self, deadline: Instant, f: impl FnOnce(&Joined<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<Error>,
    {
        self.held.run(Some(deadline), |attached| f(&Joined(&attached.sqlite)))?
    }
}

impl Drop for Join {
    fn drop(&mut self) {
        self.held.finish();
    }
}

impl<'a> Joined<'a> {
    /// The single row of a query; no row is [`Kind::NoRows`].
    pub fn query_row<T, P, F>(&self, sql: &str, params: P, map: F) -> Result<T>
    where
        P: Params,
        F: FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    {
        Ok(self.0.prepare_cached(sql)?.query_row(params, map)?)
    }

    /// A statement.
    pub fn prepare(&self, sql: &str) -> Result<CachedStatement<'a>> {
        Ok(self.0.prepare_cached(sql)?)
    }
}

/// The snapshots of all files in the one transaction of a connection.
struct Together<'a> {
    held: &'a Held<Attached>,
    stores: &'a [&'a Arc<Shared>],
}

impl Snapshots for Together<'_> {
    fn open(&mut self, _: &[usize], sequences: &mut [u64]) -> Result<()> {
        self.held.refresh(|attached| {
            attached.begin()?;
            for (place, store) in self.stores.iter().enumerate() {
                sequences[place] = attached.sequence(place)?;
                store.epoch.fetch_max(sequences[place], Ordering::SeqCst);
            }
            Ok(())
        })
    }
}

/// The connection of a join.
struct Attached {
    begin: RawStatement, // the statements are dropped before their connection
    end: RawStatement,
    sequences: Vec<RawStatement>,
    sqlite: Sqlite,
    own: Arc<AtomicBool>,
    _locks: Vec<Arc<FileLock>>, // dropped after it
}

impl Attached {
    fn open(stores: &[&Arc<Shared>]) -> Result<(Attached, Arc<Watch>)> {
        let locks = stores.iter().map(|store| store.opener.lock()).collect::<Result<_>>()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // Attached files are opened with the flags and the VFS of the connection.
        let mut sqlite = match stores.iter().find_map(|store| store.config.vfs) {
            Some(vfs) => Sqlite::open_with_flags_and_vfs(":memory:", flags, vfs)?,
            None => Sqlite::open_with_flags(":memory:", flags)?,
        };
        sqlite.busy_timeout(Duration::ZERO)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        for store in stores {
            attach(&sqlite, store)?;
        }
        restrict(&sqlite, stores)?;
        let own = Arc::new(AtomicBool::new(true));
        let watch = Arc::new(Watch::default());
        let (opened, looks) = (own.clone(), watch.clone());
        sqlite.authorizer(Some(move |context: AuthContext<'_>| {
            let allowed = opened.load(Ordering::Relaxed) || only_reads(&context.action);
            if allowed { Authorization::Allow } else { Authorization::Deny }
        }))?;
        sqlite.progress_handler(STEPS_PER_LOOK, Some(move || looks.look()))?;
        let sequence =
            |store: &&Arc<Shared>| RawStatement::new(&sqlite, &sequence_of(&store.config)?).map_err(Error::from);
        let attached = Attached {
            begin: RawStatement::new(&sqlite, c"BEGIN")?,
            end: RawStatement::new(&sqlite, c"ROLLBACK")?,
            sequences: stores.iter().map(sequence).collect::<Result<_>>()?,
            sqlite,
            own,
            _locks: locks,
        };
        attached.own.store(false, Ordering::Relaxed);
        Ok((attached, watch))
    }

    /// Begins a transaction, after ending the one that is open.
    fn begin(&self) -> Result<()> {
        if !self.sqlite.is_autocommit() {
            self.with_rights(|| self.end.run())?;
        }
        self.with_rights(|| self.begin.run())
    }

    /// The commit that the snapshot of a file contains; this opens it.
    fn sequence(&self, place: usize) -> Result<u64> {
        let row = self.with_rights(|| self.sequences[place].query(&[]))?;
        let (sequence, _) = row.ok_or_else(|| Error::new(Kind::Corrupt, "the table _monolite lost its row"))?;
        Ok(sequence as u64)
    }

    /// A statement of our own may be prepared again, where a schema has changed.
    fn with_rights<T>(&self, f: impl FnOnce() -> rusqlite::Result<T>) -> Result<T> {
        self.own.store(true, Ordering::Relaxed);
        let done = f();
        self.own.store(false, Ordering::Relaxed);
        Ok(done?)
    }
}

impl Connected for Attached {
    fn sqlite(&self) -> &Sqlite {
        &self.sqlite
    }

    fn finish(self, _: &[Arc<Shared>]) {} // closing it ends its transaction
}

fn attach(sqlite: &Sqlite, store: &Shared) -> Result<()> {
    let path = store.path.to_str().ok_or_else(|| {
        Error::new(Kind::Invalid, format!("{} is not UTF-8, and cannot be part of a join", store.path.display()))
    })?;
    let attached = sqlite.execute("ATTACH ?1 AS ?2", (path, &store.config.name));
    attached.map_err(|e| Error::from(e).within(format!("cannot attach {}", store.config.name)))?;
    Ok(())
}

fn restrict(sqlite: &Sqlite, stores: &[&Arc<Shared>]) -> Result<()> {
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    let longest = stores.iter().map(|store| store.config.value_max).max().unwrap_or_default();
    sqlite.set_limit(Limit::SQLITE_LIMIT_LENGTH, i32::try_from(longest).unwrap_or(i32::MAX))?;
    sqlite.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?; // no more
    sqlite.execute_batch("PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0; PRAGMA cell_size_check=ON;")?;
    Ok(())
}

fn sequence_of(config: &Config) -> Result<CString> {
    let name = config.name.replace('"', "\"\"");
    CString::new(format!("SELECT sequence, writer_epoch FROM \"{name}\"._monolite WHERE id = 1"))
        .map_err(|_| Error::new(Kind::Invalid, "a store's name holds a zero byte"))
}
