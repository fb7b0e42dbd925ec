//! A followed store with random work, and what a follower's batches come to.

use monolite_store::rusqlite::Connection;
use monolite_store::{Batch, Config, Error, Follower, Kind, Migration, Migrations, Store};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const SCHEMA: &str =
    "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB) STRICT; CREATE INDEX t_v ON t(length(v), id)";
pub(crate) const ALL: u64 = u64::MAX;

pub(crate) fn migrations() -> Migrations {
    Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }])
}

pub(crate) fn config() -> Config {
    Config { followed: true, scrub_period: Duration::ZERO, ..Config::default() }
}

pub(crate) fn open(path: &Path, config: Config) -> Store {
    Store::open(path, config, migrations()).unwrap()
}

/// A store and its follower.
pub(crate) fn followed(path: &Path, config: Config) -> (Store, Follower) {
    let store = open(path, config);
    let follower = store.follow().unwrap();
    (store, follower)
}

/// The same with a WAL that is due to start over early, and that size.
pub(crate) fn with_a_small_wal(path: &Path) -> (Store, Follower, u64) {
    let soft = 1 << 20;
    let (store, follower) = followed(path, Config { wal_soft_bytes: soft, ..config() });
    (store, follower, soft)
}

pub(crate) fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    (folder, path)
}

/// The pages that batches came to.
#[derive(Default)]
pub(crate) struct Image {
    pages: BTreeMap<u32, Vec<u8>>,
    pub(crate) size: u32,
    pub(crate) last: Option<u64>,
}

impl Image {
    pub(crate) fn fold(&mut self, batch: &mut Batch) {
        if let Some(last) = self.last {
            assert_eq!(batch.first, last + 1, "commits in order");
        }
        assert!(batch.first <= batch.last);
        let mut before = 0;
        batch
            .for_each(|number, page| {
                assert!(number > before && page.len().is_power_of_two());
                before = number;
                self.pages.insert(number, page.to_vec());
                Ok::<(), Error>(())
            })
            .unwrap();
        assert!(before <= batch.pages_in_file);
        self.size = batch.pages_in_file;
        self.pages.retain(|number, _| *number <= batch.pages_in_file);
        self.last = Some(batch.last);
    }

    /// Begins with all pages as they are.
    pub(crate) fn read(&mut self, follower: &mut Follower) {
        let mut pages = Vec::new();
        let seen = follower.reader().read(1, u32::MAX, &mut pages).unwrap();
        assert_eq!(seen.read, seen.pages_in_file);
        self.size = seen.pages_in_file;
        self.last = Some(seen.sequence);
        self.pages = (1..).zip(pages.chunks(seen.page_size as usize).map(<[u8]>::to_vec)).collect();
        follower.begin_after(seen.sequence, Some(seen.pages_in_file));
    }

    /// Takes all there is; answers how many batches that were.
    pub(crate) fn take(&mut self, follower: &mut Follower, bytes_max: u64) -> usize {
        let mut batches = 0;
        while let Some(mut batch) = follower.next(None, bytes_max).unwrap() {
            self.fold(&mut batch);
            follower.release(batch.last);
            batches += 1;
        }
        batches
    }

    /// Compares it with what SQLite reads now; free pages have no content.
    pub(crate) fn assert_is(&self, path: &Path) {
        let c = Connection::open(path).unwrap();
        let free = free_pages(&c);
        let size: u32 = c.query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap();
        assert_eq!(self.size, size);
        let mut rows = c.prepare("SELECT pgno, data FROM sqlite_dbpage").unwrap();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let (number, page): (u32, Vec<u8>) = (row.get(0).unwrap(), row.get(1).unwrap());
            if free.contains(&number) {
                continue;
            }
            let usable = page.len() - self.reserved();
            let found = self.pages.get(&number).unwrap_or_else(|| panic!("page {number} of {size} is missing"));
            assert!(found[..usable] == page[..usable], "page {number} of {size}");
        }
    }

    /// Bytes at the end of each page that SQLite does not look at: a checksum, put there by checkpoints.
    pub(crate) fn reserved(&self) -> usize {
        usize::from(self.pages[&1][20])
    }

    /// Writes it as a file and has SQLite check it.
    pub(crate) fn check(&self, folder: &Path) {
        let path = folder.join("image.db");
        let _ = std::fs::remove_file(&path);
        let all: Vec<u8> = (1..=self.size).flat_map(|n| self.pages[&n].clone()).collect();
        std::fs::write(&path, all).unwrap();
        let c = Connection::open(&path).unwrap();
        let found: String = c.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
        assert_eq!(found, "ok");
        let last: u64 = c.query_row("SELECT sequence FROM _monolite", [], |r| r.get::<_, i64>(0)).unwrap() as u64;
        assert_eq!(Some(last), self.last);
    }
}

/// The leaves of the list of free pages.
pub(crate) fn free_pages(c: &Connection) -> Vec<u32> {
    let page = |n: u32| -> Vec<u8> {
        c.query_row("SELECT data FROM sqlite_dbpage WHERE pgno = ?1", [n], |r| r.get(0)).unwrap()
    };
    let number = |b: &[u8], at: usize| u32::from_be_bytes(b[at..at + 4].try_into().unwrap());
    let mut free = Vec::new();
    let mut trunk = number(&page(1), 32);
    while trunk != 0 {
        let bytes = page(trunk);
        free.extend((0..number(&bytes, 4) as usize).map(|n| number(&bytes, 8 + 4 * n)));
        trunk = number(&bytes, 0);
    }
    free
}

/// A small generator of numbers.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

pub(crate) fn insert(store: &Store, rows: u64, bytes: u64, fill: u8) {
    store
        .write_blocking(move |tx| {
            for _ in 0..rows {
                tx.execute("INSERT INTO t(v) VALUES (?1)", [vec![fill; bytes as usize]])?;
            }
            Ok::<(), Error>(())
        })
        .unwrap();
}

pub(crate) fn random_work(store: &Store, dice: &mut Dice) {
    let (n, fill) = (dice.roll(60), dice.roll(256) as u8);
    match dice.roll(7) {
        0 => insert(store, n, 100, fill),
        1 => insert(store, 1 + n / 20, 20_000, fill),
        2 => run(store, "DELETE FROM t WHERE id % 7 = ?2 % 7 OR v = ?1", fill, n),
        3 => run(store, "UPDATE t SET v = ?1 WHERE id % 11 = ?2 % 11", fill, n),
        4 => {
            // Undone by itself: it may leave frames that a spill wrote.
            let e = store
                .write_blocking(move |tx| {
                    tx.execute("INSERT INTO t(v) VALUES (zeroblob(300000))", [])?;
                    Err::<(), Error>(Error::new(Kind::Invalid, "no"))
                })
                .unwrap_err();
            assert_eq!(e.kind(), Kind::Invalid);
        }
        5 => {
            let writes: Vec<_> = (0..1 + n % 8)
                .map(|_| store.write(move |tx| tx.execute("INSERT INTO t(v) VALUES (?1)", [vec![fill; 50]])))
                .collect();
            for write in writes {
                store.clone().read_blocking(|_| Ok::<(), Error>(())).unwrap();
                futures_block(write).unwrap();
            }
        }
        _ => run(store, "DELETE FROM t WHERE id > (SELECT max(id) / 2 FROM t) AND ?1 IS NOT ?2", fill, n),
    }
}

pub(crate) fn run(store: &Store, sql: &'static str, fill: u8, n: u64) {
    store.write_blocking(move |tx| tx.execute(sql, (vec![fill; 30], n as i64))).unwrap();
}

pub(crate) fn futures_block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
