//! Commits that a follower cannot have are a gap, and told.

use crate::world::{ALL, Image, config, folder, followed, insert, open};
use monolite_store::rusqlite::Connection;
use monolite_store::{Config, Kind, Missed, Why};

/// As another program does that nobody reads beside.
fn empty_the_wal(other: &Connection) {
    let mut tries =
        (0..1000).map(|_| other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get::<_, i64>(0)).unwrap());
    assert!(tries.any(|busy| busy == 0), "nobody reads");
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
    let (store, mut follower) = followed(&path, config());
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
    empty_the_wal(&other);
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
    let (store, mut follower) = followed(&path, config());
    let mut image = Image::default();
    insert(&store, 10, 2000, 1);
    image.take(&mut follower, ALL);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA wal_autocheckpoint=0; INSERT INTO t(v) VALUES (zeroblob(50000))").unwrap();
    empty_the_wal(&other);
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
    let (store, mut follower) = followed(&path, config());
    insert(&store, 1, 100, 1);
    std::fs::copy(&path, path.with_file_name("other.db")).unwrap();
    std::fs::rename(path.with_file_name("other.db"), &path).unwrap();
    assert!(matches!(follower.next(None, ALL), Err(Missed::Gap(gap)) if gap.why == Why::Replaced));
}
