//! A follower's batches, folded into an image, are the file; the WAL is never started over above what it has not released.

#![allow(clippy::unwrap_used)]

mod gaps;
mod pace;
mod world;

use monolite_store::rusqlite::{self, Connection};
use monolite_store::{Config, Kind, Missed};
use std::path::Path;
use std::time::{Duration, Instant};
use world::*;

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
        let (store, mut follower) = followed(&path, config);
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
        let (store, mut follower) = followed(&path, Config { wal_soft_bytes: 256 << 10, ..config() });
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
    let (store, mut follower) = followed(&path, config());
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
        let (store, mut follower) = followed(&path, config());
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
        let (store, mut follower) = followed(&path, config());
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
    let (store, mut follower) = followed(&path, config());
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
