//! Real stores that are archived, and the comparison of what is restored with the file.

#![allow(dead_code, unreachable_pub)] // each test binary uses a part

use monolite_archive::place::Folder;
use monolite_archive::place::testing::{Faulty, Step};
use monolite_archive::{Archive, Check, Config, Error, Keep, Kind, Place, Target, restore};
use monolite_store::rusqlite::Connection;
use monolite_store::{Error as StoreError, Migration, Migrations, Store};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

pub const SERVICE: &str = "Users";
pub const LONG: Duration = Duration::from_secs(60);

/// A folder with a store's file, its scratch and its archive.
pub struct World {
    folder: tempfile::TempDir,
}

impl World {
    pub fn new() -> World {
        World { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn db(&self) -> PathBuf {
        self.path("Users.db")
    }

    pub fn scratch(&self) -> PathBuf {
        self.path("Users")
    }

    pub fn place(&self) -> Arc<dyn Place> {
        Arc::new(Folder::open(self.path("archive")).unwrap())
    }

    /// The same, which takes no segments while that is set.
    pub fn picky_place(&self) -> (Arc<dyn Place>, Arc<AtomicBool>) {
        let down = Arc::new(AtomicBool::new(false));
        let is_down = down.clone();
        let fails = move |step: Step, name: &str| {
            let is_segment = step == Step::Create && name.ends_with(".ltx");
            (is_down.load(SeqCst) && is_segment).then(|| Error::new(Kind::Unreachable, "it takes no segments"))
        };
        (Arc::new(Faulty::new(self.place(), fails)), down)
    }

    pub fn store(&self) -> Store {
        open(&self.db())
    }

    /// Keeps a store in the folder of the archive.
    pub fn keep(&self, store: &Store, config: Config) -> Archive {
        let archive = Archive::start(self.place(), config).unwrap();
        archive.keep(SERVICE, store, &self.scratch()).unwrap();
        archive
    }

    /// A store of so many rows, all of them archived, with a base.
    pub fn begun(&self, config: Config, rows: u64) -> (Store, Archive) {
        let store = self.store();
        let archive = self.keep(&store, config);
        insert(&store, rows, 100);
        self.assert_whole(&archive, &store);
        (store, archive)
    }

    /// Restores a commit beside.
    pub fn restore(&self, archive: &Archive, target: Target) -> monolite_archive::Result<PathBuf> {
        let out = self.path("restored.db");
        let _ = std::fs::remove_file(&out);
        restore(&archive.history(SERVICE).unwrap(), target, &out, Check::Full, &mut |_| ControlFlow::Continue(()))?;
        Ok(out)
    }

    /// What is restored is the file as it is now, which nobody writes.
    pub fn assert_whole(&self, archive: &Archive, store: &Store) {
        let last = store.sequence();
        archive.archived(SERVICE, last).unwrap().wait(LONG).unwrap();
        let whole = archive.watch(SERVICE, LONG, |status| status.last_base.is_some() && status.copying.is_none());
        assert!(whole.unwrap(), "{:?}", archive.status());
        let out = self.restore(archive, Target::Latest).unwrap();
        assert_same(&out, &self.db());
    }
}

pub fn open(path: &Path) -> Store {
    open_newer(path, 0)
}

/// Opens it as a program does that has so many migrations more.
pub fn open_newer(path: &Path, more: usize) -> Store {
    let quick = |name, sql| Migration::Quick { name, sql };
    let first = "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB) STRICT; CREATE INDEX t_v ON t(length(v), id)";
    let later = [
        quick("2", "ALTER TABLE t ADD COLUMN a INTEGER"),
        quick("3", "ALTER TABLE t ADD COLUMN b INTEGER"),
        quick("4", "ALTER TABLE t ADD COLUMN c INTEGER"),
    ];
    let migrations = Migrations::new([&[quick("1", first)], &later[..more]].concat());
    let config = monolite_store::Config {
        followed: true,
        scrub_period: Duration::ZERO,
        wal_soft_bytes: 1 << 20,
        writer_cache_bytes: 1 << 20,
        ..monolite_store::Config::default()
    };
    Store::open(path, config, migrations).unwrap()
}

/// Short times, so that all parts take part.
pub fn quick() -> Config {
    Config {
        interval: Duration::from_millis(5),
        levels: vec![Duration::from_millis(30), Duration::from_millis(150), Duration::from_millis(600)],
        keep: Keep { age_ms: 1 << 40, bases: 2, merged_ms: [50; 9] },
        retry: (Duration::from_millis(2), Duration::from_millis(20)),
        base_bytes_per_second: 1 << 40,
        base_bytes_min: 1 << 16,
        ..Config::default()
    }
}

/// A small generator of numbers.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// One random write; answers its commit.
pub fn work(store: &Store, dice: &mut Dice) -> u64 {
    let (kind, n, fill) = (dice.roll(6), dice.roll(60) as i64, dice.roll(256) as u8);
    let written = store.write_blocking(move |tx| {
        let changed = match kind {
            0 | 1 => {
                for _ in 0..n {
                    tx.execute("INSERT INTO t(v) VALUES (?1)", [vec![fill; 100]])?;
                }
                0
            }
            2 => tx.execute("INSERT INTO t(v) VALUES (?1)", [vec![fill; 1000 * n as usize]])?,
            3 => tx.execute("UPDATE t SET v = ?1 WHERE id % 11 = ?2 % 11", (vec![fill; 30], n))?,
            4 => tx.execute("DELETE FROM t WHERE id % 7 = ?1 % 7", [n])?,
            _ => tx.execute("DELETE FROM t WHERE id > (SELECT max(id) * 3 / 4 FROM t)", [])?,
        };
        Ok::<_, StoreError>(changed)
    });
    written.unwrap();
    store.sequence()
}

pub fn insert(store: &Store, rows: u64, bytes: usize) {
    store
        .write_blocking(move |tx| {
            for n in 0..rows {
                tx.execute("INSERT INTO t(v) VALUES (?1)", [vec![n as u8; bytes]])?;
            }
            Ok::<(), StoreError>(())
        })
        .unwrap();
}

/// Two files are the same page by page, but for free pages and the bytes at the end of each that hold checksums.
pub fn assert_same(restored: &Path, live: &Path) {
    let (one, other) = (Connection::open(restored).unwrap(), Connection::open(live).unwrap());
    let size = |c: &Connection| -> u32 { c.query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap() };
    let page = |c: &Connection, n: u32| -> Vec<u8> {
        c.query_row("SELECT data FROM sqlite_dbpage WHERE pgno = ?1", [n], |r| r.get(0)).unwrap()
    };
    assert_eq!(size(&one), size(&other));
    let number = |b: &[u8], at: usize| u32::from_be_bytes(b[at..at + 4].try_into().unwrap());
    let (mut free, mut trunk) = (HashSet::new(), number(&page(&other, 1), 32));
    while trunk != 0 {
        let bytes = page(&other, trunk);
        free.extend((0..number(&bytes, 4) as usize).map(|n| number(&bytes, 8 + 4 * n)));
        trunk = number(&bytes, 0);
    }
    let reserved = usize::from(page(&other, 1)[20]);
    for n in (1..=size(&one)).filter(|n| !free.contains(n)) {
        let (a, b) = (page(&one, n), page(&other, n));
        assert!(a[..a.len() - reserved] == b[..b.len() - reserved], "page {n} of {}", size(&one));
    }
}
