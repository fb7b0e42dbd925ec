//! A file that is archived and copies of it: who serves which, what each has written, and whose line is restored.

#![allow(unreachable_pub)]

use crate::keeping::{self, Dice, LONG, SERVICE, World, quick};
use monolite_archive::{Archive, Check, Config, Error, History, Kind, Place, State, Target, restore};
use monolite_store::rusqlite::Connection;
use monolite_store::{Error as StoreError, Store};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What lies beside a file and is copied with it.
#[derive(Clone, Copy, PartialEq)]
pub enum Copied {
    /// The file and its WAL.
    File,
    /// The whole folder.
    Folder,
}

/// What a file holds.
pub type Rows = Vec<(i64, Vec<u8>)>;

/// One of the servers: its file, and what it was at each commit.
pub struct Writer {
    pub world: World,
    pub name: u8,
    pub store: Store,
    pub archive: Archive,
    pub was: BTreeMap<u64, Rows>,
}

impl Writer {
    pub fn write(&mut self, dice: &mut Dice) -> u64 {
        let (name, rows, half) = (self.name, dice.roll(20) + 1, dice.roll(2) as i64);
        let written = self.store.write_blocking(move |tx| {
            tx.execute("UPDATE t SET v = ?1 WHERE id % 2 = ?2", (vec![name; 60], half))?;
            for _ in 0..rows {
                tx.execute("INSERT INTO t(v) VALUES (?1)", [vec![name; 300]])?;
            }
            Ok::<_, StoreError>(())
        });
        if written.is_ok() {
            self.was.insert(self.store.sequence(), rows_of(&self.world.db()));
        }
        self.store.sequence()
    }

    pub fn is_stopped(&self) -> bool {
        matches!(self.archive.status_of(SERVICE).unwrap().state, State::Stopped(_))
    }

    /// Waits until a commit is archived, or never will be.
    pub fn archived(&self, sequence: u64) -> bool {
        self.archive.archived(SERVICE, sequence).unwrap().wait(LONG).is_ok()
    }

    pub fn stopped_by(&self) -> String {
        assert!(self.archive.watch(SERVICE, LONG, |s| matches!(s.state, State::Stopped(_))).unwrap());
        let State::Stopped(why) = self.archive.status_of(SERVICE).unwrap().state else { unreachable!() };
        let refused = self.store.write_blocking(|tx| tx.execute("DELETE FROM t", [])).unwrap_err();
        assert!(refused.to_string().contains("is not archived any more"), "{refused}");
        why
    }
}

fn rows_of(file: &Path) -> Rows {
    let c = Connection::open(file).unwrap();
    c.set_db_config(monolite_store::rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    let mut rows = c.prepare("SELECT id, v FROM t ORDER BY id").unwrap();
    let rows = rows.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn copy(from: &World, to: &World, what: Copied) {
    for name in ["Users.db", "Users.db-wal"] {
        std::fs::copy(from.path(name), to.path(name)).unwrap();
    }
    if what == Copied::Folder {
        copy_all(&from.scratch(), &to.scratch());
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() { copy_all(&from, &to) } else { assert!(std::fs::copy(from, to).is_ok()) }
    }
}

/// A file all of whose commits are archived, served by one writer; and a copy of it, not served yet. The places that they see.
pub fn one_and_a_copy(place: Arc<dyn Place>, what: Copied, config: Config) -> (Writer, World) {
    let world = World::new();
    let store = world.store();
    keeping::insert(&store, 30, 200);
    let archive = Archive::start(place, config).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    let other = World::new();
    copy(&world, &other, what);
    let was = BTreeMap::from([(store.sequence(), rows_of(&world.db()))]);
    (Writer { world, name: b'a', store, archive, was }, other)
}

pub fn another(of: &Writer, world: World, place: Arc<dyn Place>, config: Config) -> Result<Writer, Error> {
    let store = world.store();
    let archive = Archive::start(place, config).unwrap();
    archive.keep(SERVICE, &store, &world.scratch())?;
    Ok(Writer { world, name: b'b', store, archive, was: of.was.clone() })
}

pub fn history(of: &Writer, place: Arc<dyn Place>) -> History {
    let id = of.archive.history(SERVICE).unwrap().root().rsplit('/').next().unwrap().to_owned();
    History::new(place, SERVICE, &id).unwrap()
}

pub fn restored(history: &History, target: Target, world: &World) -> Result<(u64, Rows), Error> {
    let out = world.path("out.db");
    for left in ["out.db", "out.db-wal", "out.db-shm"] {
        let _ = std::fs::remove_file(world.path(left));
    }
    let done = restore(history, target, &out, Check::Quick, &mut |_| ControlFlow::Continue(()))?;
    Ok((done.sequence, rows_of(&out)))
}

/// Every commit that can be restored is one writer's, all that was acknowledged is among them, and so is the newest.
pub fn assert_one_line(history: &History, writers: [&Writer; 2], acknowledged: &[(usize, u64)], case: &str) {
    let out = World::new();
    let (newest, _) = restored(history, Target::Latest, &out).unwrap_or_else(|e| panic!("{case}: {e:?}"));
    let first = *writers[0].was.first_key_value().unwrap().0;
    let mut line: Option<usize> = None;
    for sequence in (first..=newest).rev() {
        let (at, rows) = match restored(history, Target::Sequence(sequence), &out) {
            Err(e) if e.kind() == Kind::Within => continue,
            other => other.unwrap_or_else(|e| panic!("{case}: {sequence}: {e:?}")),
        };
        assert_eq!(at, sequence);
        let of: Vec<usize> = (0..2).filter(|n| writers[*n].was.get(&sequence) == Some(&rows)).collect();
        assert!(!of.is_empty(), "{case}: commit {sequence} is nobody's");
        if sequence > first && of.len() == 1 {
            assert!(line.is_none_or(|line| of.contains(&line)), "{case}: commit {sequence} is of another line");
            line = Some(of[0]);
        }
    }
    for (writer, sequence) in acknowledged {
        assert!(
            *sequence <= newest && line.is_none_or(|line| line == *writer || *sequence == first),
            "{case}: {sequence}"
        );
        if let Ok((_, rows)) = restored(history, Target::Sequence(*sequence), &out) {
            assert_eq!(Some(&rows), writers[*writer].was.get(sequence), "{case}: {sequence} was acknowledged");
        }
    }
}

/// Captures when it is asked to; no merging.
pub fn when_asked() -> Config {
    Config { interval: Duration::from_secs(3600), levels: Vec::new(), ..quick() }
}
