//! A follower's batches, folded into an image, are the file; the WAL is never started over above what it has not released.

#![allow(clippy::unwrap_used)]

use monolite_store::rusqlite::{self, Connection};
use monolite_store::{Batch, Config, Error, Follower, Kind, Migration, Migrations, Missed, Store, Why};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB) STRICT; CREATE INDEX t_v ON t(length(v), id)";
const ALL: u64 = u64::MAX;

fn migrations() -> Migrations {
    Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }])
}

fn config() -> Config {
    Config { followed: true, scrub_period: Duration::ZERO, ..Config::default() }
}

fn open(path: &Path, config: Config) -> Store {
    Store::open(path, config, migrations()).unwrap()
}

/// A store whose WAL is due to start over early, its follower, and that size.
fn with_a_small_wal(path: &Path) -> (Store, Follower, u64) {
    let soft = 1 << 20;
    let store = open(path, Config { wal_soft_bytes: soft, ..config() });
    let follower = store.follow().unwrap();
    (store, follower, soft)
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    (folder, path)
}

/// The pages that batches came to.
#[derive(Default)]
struct Image {
    pages: BTreeMap<u32, Vec<u8>>,
    size: u32,
    last: Option<u64>,
}

impl Image {
    fn fold(&mut self, batch: &mut Batch) {
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
    fn read(&mut self, follower: &mut Follower) {
        let mut pages = Vec::new();
        let seen = follower.reader().read(1, u32::MAX, &mut pages).unwrap();
        assert_eq!(seen.read, seen.pages_in_file);
        self.size = seen.pages_in_file;
        self.last = Some(seen.sequence);
        self.pages = (1..).zip(pages.chunks(seen.page_size as usize).map(<[u8]>::to_vec)).collect();
        follower.begin_after(seen.sequence, Some(seen.pages_in_file));
    }

    /// Takes all there is; answers how many batches that were.
    fn take(&mut self, follower: &mut Follower, bytes_max: u64) -> usize {
        let mut batches = 0;
        while let Some(mut batch) = follower.next(None, bytes_max).unwrap() {
            self.fold(&mut batch);
            follower.release(batch.last);
            batches += 1;
        }
        batches
    }

    /// Compares it with what SQLite reads now; free pages have no content.
    fn assert_is(&self, path: &Path) {
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
    fn reserved(&self) -> usize {
        usize::from(self.pages[&1][20])
    }

    /// Writes it as a file and has SQLite check it.
    fn check(&self, folder: &Path) {
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
fn free_pages(c: &Connection) -> Vec<u32> {
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
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn insert(store: &Store, rows: u64, bytes: u64, fill: u8) {
    store
        .write_blocking(move |tx| {
            for _ in 0..rows {
                tx.execute("INSERT INTO t(v) VALUES (?1)", [vec![fill; bytes as usize]])?;
            }
            Ok::<(), Error>(())
        })
        .unwrap();
}

fn random_work(store: &Store, dice: &mut Dice) {
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

fn run(store: &Store, sql: &'static str, fill: u8, n: u64) {
    store.write_blocking(move |tx| tx.execute(sql, (vec![fill; 30], n as i64))).unwrap();
}

fn futures_block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn every_commit_of_a_random_history_is_the_file() {
    for (seed, page) in [(1, 4096), (2, 512), (3, 4096), (4, 65536), (5, 1024)] {
        let (folder, path) = folder();
        if page != 4096 {
            // Another page size comes with a file from elsewhere.
            let c = Connection::open(&path).unwrap();
            c.execute_batch(&format!(
                "PRAGMA page_size={page}; PRAGMA auto_vacuum=INCREMENTAL; CREATE TABLE before(a)"
            ))
            .unwrap();
        }
        // A cache of a few pages: transactions spill.
        let config = Config { writer_cache_bytes: 0, wal_soft_bytes: 1 << 20, ..config() };
        let store = open(&path, config);
        let mut follower = store.follow().unwrap();
        let mut image = Image::default();
        if page != 4096 {
            image.read(&mut follower);
        }
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15u64.wrapping_mul(seed));
        for step in 0..120 {
            random_work(&store, &mut dice);
            if dice.roll(3) > 0 {
                continue; // several commits in one batch
            }
            image.take(&mut follower, if dice.roll(2) == 0 { 1 } else { ALL });
            assert_eq!(image.last, Some(store.sequence()), "seed {seed} step {step}");
            image.assert_is(&path);
        }
        image.take(&mut follower, ALL);
        image.assert_is(&path);
        image.check(folder.path());
    }
}

#[test]
fn a_wal_is_not_started_over_above_unreleased_frames_and_soon_after_they_are_released() {
    let (folder, path) = folder();
    let (store, mut follower, soft) = with_a_small_wal(&path);
    let mut image = Image::default();
    let mut held = Vec::new();
    for n in 0..40 {
        insert(&store, 1, 200_000, n);
        held.push(follower.next(None, ALL).unwrap().unwrap());
    }
    assert!(store.status().wal_bytes > 7 * soft, "nothing was started over: {}", store.status().wal_bytes);
    for batch in &mut held {
        image.fold(batch);
    }
    image.assert_is(&path);
    let last = held.last().unwrap().last;
    drop(held);
    follower.release(last);
    // Who copies the WAL is a thread of its own, which may have to wait for the processor.
    let (end, mut more) = (Instant::now() + Duration::from_secs(120), 0u8);
    while store.status().wal_bytes > 2 * soft {
        insert(&store, 1, 100_000, more);
        image.take(&mut follower, ALL);
        more = more.wrapping_add(1);
        assert!(Instant::now() < end, "the WAL is not started over: {}", store.status().wal_bytes);
    }
    image.assert_is(&path);
    image.check(folder.path());
}

#[test]
fn at_full_rate_with_a_follower_beside_it_the_wal_stays_bounded() {
    let (_folder, path) = folder();
    let (store, mut follower, soft) = with_a_small_wal(&path);
    let last = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let until = last.clone();
    let taker = std::thread::spawn(move || {
        let mut image = Image::default();
        loop {
            let done = until.load(std::sync::atomic::Ordering::SeqCst);
            if done > 0 && image.last == Some(done) {
                return (image, follower);
            }
            if !follower.arm() {
                follower.wait(Duration::from_millis(100));
            }
            image.take(&mut follower, ALL);
        }
    });
    let mut most = 0;
    for n in 0..1500u32 {
        insert(&store, 1, 30_000, n as u8);
        most = most.max(store.status().wal_bytes);
    }
    last.store(store.sequence(), std::sync::atomic::Ordering::SeqCst);
    let (image, follower) = taker.join().unwrap();
    assert!(most < 16 * soft, "45 MB were written, {most} bytes of WAL at once");
    image.assert_is(&path);
    drop(follower);
}

#[test]
fn after_a_kill_the_follower_begins_where_it_is_told_and_misses_nothing() {
    let (folder, path) = folder();
    let mut image = Image::default();
    let mut dice = Dice(77);
    for round in 0..12 {
        let store = open(&path, Config { wal_soft_bytes: 256 << 10, ..config() });
        let mut follower = store.follow().unwrap();
        if let Some(last) = image.last {
            follower.begin_after(last, Some(image.size));
        }
        for _ in 0..dice.roll(12) {
            random_work(&store, &mut dice);
            if dice.roll(2) == 0 {
                image.take(&mut follower, ALL);
            }
        }
        for _ in 0..dice.roll(6) {
            random_work(&store, &mut dice);
            // Taken but not released is not safe anywhere: it comes again.
            let _ = follower.next(None, ALL).unwrap();
        }
        drop(follower);
        if round % 3 == 2 { store.close().unwrap() } else { store.abandon() }
    }
    let store = open(&path, config());
    let mut follower = store.follow().unwrap();
    follower.begin_after(image.last.unwrap(), Some(image.size));
    image.take(&mut follower, ALL);
    assert_eq!(image.last, Some(store.sequence()));
    image.assert_is(&path);
    image.check(folder.path());
}

#[test]
fn what_an_earlier_run_left_in_the_wal_can_be_released_though_nothing_is_written() {
    let salts = |path: &Path| std::fs::read(path.with_file_name("S.db-wal")).unwrap()[16..24].to_vec();
    let passive = |other: &Connection| {
        let done = other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |r| Ok((r.get(1)?, r.get(2)?)));
        let (frames, copied): (i64, i64) = done.unwrap();
        assert_eq!(frames, copied);
    };
    // With a commit of another program behind what was released, the WAL is kept.
    for beside in [false, true] {
        let (folder, path) = folder();
        let store = open(&path, config());
        let mut follower = store.follow().unwrap();
        let mut image = Image::default();
        insert(&store, 20, 3000, 1);
        image.take(&mut follower, ALL);
        assert!(!follower.release_found().unwrap(), "it has released what it took");
        drop(follower);
        store.abandon();
        let other = Connection::open(&path).unwrap();
        other.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        if beside {
            other.execute_batch("PRAGMA wal_autocheckpoint=0; DELETE FROM t WHERE id % 2").unwrap();
        }
        let store = open(&path, config());
        let mut follower = store.follow().unwrap();
        follower.begin_after(image.last.unwrap(), Some(image.size));
        assert!(follower.next(None, ALL).unwrap().is_none());
        assert!(follower.release_found().unwrap());
        assert!(!follower.release_found().unwrap(), "once");
        passive(&other);
        let before = salts(&path);
        insert(&store, 2, 100, 2);
        assert_eq!(salts(&path) == before, beside, "whether the WAL was kept");
        image.take(&mut follower, ALL);
        image.assert_is(&path);
        image.check(folder.path());
    }
}

#[test]
fn a_store_that_ends_waits_for_its_follower_and_copies_its_wal_all_the_same() {
    let (_folder, path) = folder();
    let store = open(&path, config());
    let mut follower = store.follow().unwrap();
    insert(&store, 10, 1000, 1);
    let taker = std::thread::spawn(move || {
        let mut image = Image::default();
        while !follower.is_closing() {
            follower.arm();
            if !follower.is_closing() {
                follower.wait(Duration::from_secs(30));
            }
        }
        image.take(&mut follower, ALL);
        (image, follower)
    });
    insert(&store, 10, 1000, 2);
    let last = store.sequence();
    store.close().unwrap();
    let (image, mut follower) = taker.join().unwrap();
    assert_eq!(image.last, Some(last));
    let alone = path.with_file_name("alone.db");
    std::fs::copy(&path, &alone).unwrap();
    let rows: i64 = Connection::open(&alone).unwrap().query_row("SELECT count(*) FROM t", [], |r| r.get(0)).unwrap();
    assert_eq!(rows, 20, "the file alone is whole");
    image.assert_is(&path);
    follower.begin_after(1, None);
    assert!(matches!(follower.next(None, ALL), Err(Missed::Store(e)) if e.kind() == Kind::Closed));
}

#[test]
fn a_store_that_was_not_followed_is_a_gap_and_the_follower_goes_on_behind_it() {
    let (_folder, path) = folder();
    let store = open(&path, Config { followed: false, wal_soft_bytes: 256 << 10, ..config() });
    for n in 0..60 {
        insert(&store, 1, 20_000, n);
    }
    store.close().unwrap();
    let store = open(&path, Config { followed: false, ..config() });
    insert(&store, 1, 100, 1);
    insert(&store, 1, 100, 2);
    let mut follower = store.follow().unwrap();
    assert_eq!(store.follow().err().unwrap().kind(), Kind::Busy);
    follower.begin_after(3, None);
    match follower.next(None, ALL) {
        Err(Missed::Gap(gap)) => {
            assert_eq!((gap.after, gap.why), (Some(3), Why::Begins));
            assert!(gap.found.unwrap() > 4);
        }
        other => panic!("{other:?}"),
    }
    follower.begin_after(follower.published(), None);
    insert(&store, 1, 100, 3);
    let batch = follower.next(None, ALL).unwrap().unwrap();
    assert_eq!((batch.first, batch.last), (store.sequence(), store.sequence()));
    drop(follower);
    assert!(store.follow().is_ok(), "one after another");
}

#[test]
fn another_program_that_starts_the_wal_over_is_a_gap_and_one_that_writes_is_not() {
    let (folder, path) = folder();
    let store = open(&path, config());
    let mut follower = store.follow().unwrap();
    let mut image = Image::default();
    insert(&store, 20, 3000, 1);
    image.take(&mut follower, ALL);
    // A commit without a number, one that moves every page: it goes with the next one of ours.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("DELETE FROM t WHERE id % 2; VACUUM").unwrap();
    assert!(follower.next(None, ALL).unwrap().is_none());
    insert(&store, 1, 100, 2);
    image.take(&mut follower, ALL);
    image.assert_is(&path);
    image.check(folder.path());
    insert(&store, 1, 100, 3);
    let mut busy = 1;
    for _ in 0..1000 {
        busy = other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get::<_, i64>(0)).unwrap();
        if busy == 0 {
            break;
        }
    }
    assert_eq!(busy, 0, "nobody reads");
    match follower.next(None, ALL) {
        Err(Missed::Gap(gap)) => assert_eq!(gap.why, Why::Lost),
        other => panic!("{other:?}"),
    }
    insert(&store, 1, 100, 4);
    match follower.next(None, ALL) {
        Err(Missed::Gap(gap)) => assert_eq!(gap.why, Why::Lost),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_another_program_wrote_and_checkpointed_away_is_a_gap() {
    let (_folder, path) = folder();
    let store = open(&path, config());
    let mut follower = store.follow().unwrap();
    let mut image = Image::default();
    insert(&store, 10, 2000, 1);
    image.take(&mut follower, ALL);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA wal_autocheckpoint=0; INSERT INTO t(v) VALUES (zeroblob(50000))").unwrap();
    let mut busy = 1;
    for _ in 0..1000 {
        busy = other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get::<_, i64>(0)).unwrap();
        if busy == 0 {
            break;
        }
    }
    assert_eq!(busy, 0, "nobody reads");
    insert(&store, 1, 10, 2);
    assert!(matches!(follower.next(None, ALL), Err(Missed::Gap(gap)) if gap.why == Why::Lost));
    image.read(&mut follower);
    insert(&store, 1, 10, 3);
    image.take(&mut follower, ALL);
    image.assert_is(&path);
}

#[test]
fn a_file_put_in_the_place_of_the_stores_is_noticed() {
    let (_folder, path) = folder();
    let store = open(&path, config());
    let mut follower = store.follow().unwrap();
    insert(&store, 1, 100, 1);
    std::fs::copy(&path, path.with_file_name("other.db")).unwrap();
    std::fs::rename(path.with_file_name("other.db"), &path).unwrap();
    assert!(matches!(follower.next(None, ALL), Err(Missed::Gap(gap)) if gap.why == Why::Replaced));
}

#[test]
fn pages_are_read_as_of_one_commit() {
    let (_folder, path) = folder();
    let store = open(&path, config());
    insert(&store, 50, 5000, 9);
    let mut follower = store.follow().unwrap();
    let mut image = Image::default();
    image.read(&mut follower);
    assert_eq!(image.last, Some(store.sequence()));
    image.assert_is(&path);
    let (mut pages, seen) = (Vec::new(), follower.reader().read(1, 1, &mut Vec::new()).unwrap());
    assert_eq!((seen.sequence, seen.read, seen.page_size), (store.sequence(), 1, 4096));
    let some = follower.reader().read(seen.pages_in_file - 1, 10, &mut pages).unwrap();
    assert_eq!(some.read, 2);
    assert_eq!(follower.reader().read(seen.pages_in_file + 1, 10, &mut pages).unwrap().read, 0);
}

#[test]
fn writes_are_refused_while_the_follower_says_so() {
    let (_folder, path) = folder();
    let store = open(&path, config());
    let follower = store.follow().unwrap();
    follower.refuse_writes(Some("the spool is full; free some space".to_owned()));
    let e = store.write_blocking(|tx| tx.execute("INSERT INTO t(v) VALUES (x'00')", [])).unwrap_err();
    assert_eq!(e.kind(), Kind::Full);
    assert!(e.to_string().contains("spool"), "{e}");
    follower.refuse_writes(None);
    insert(&store, 1, 1, 1);
}
