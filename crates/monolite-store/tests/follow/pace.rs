//! A follower that is slower than the writer sets its pace, one that is stuck does not.

use super::world::*;
use monolite_store::{Config, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// Writes what takes so long alone beside a follower that takes about five times as long for it; answers
/// the most that waited for it, and all that was written.
fn beside_a_slow_one(late: Option<Duration>, alone: Duration) -> (u64, u64, Store) {
    let (folder, path) = folder();
    // Never started over: what is in it is what was ever written.
    let (store, mut follower) = followed(&path, Config { wal_soft_bytes: 1 << 40, ..config() });
    let before = Instant::now();
    (0..50).for_each(|n| insert(&store, 1, 30_000, n));
    let each = before.elapsed() / 50;
    let (rows, rest) = (alone.as_micros() / each.as_micros().max(1), each * 10); // for two rows, which is what a batch has
    follower.begin_after(store.sequence(), None);
    if let Some(late) = late {
        follower.is_late_from(late);
    }
    let ended = Arc::new(AtomicBool::new(false));
    let (until, (never, rests)) = (ended.clone(), sync_channel::<()>(0));
    let (tell, told) = sync_channel(1_000_000);
    let taker = std::thread::spawn(move || {
        while !until.load(SeqCst) {
            while let Some(batch) = follower.next(None, 64 << 10).unwrap() {
                follower.release(batch.last);
                let _ = tell.send(batch.frames * 4120);
                let _ = rests.recv_timeout(rest);
            }
            if !follower.arm() {
                follower.wait(Duration::from_millis(20));
            }
        }
        drop(rests);
    });
    let begin = store.status().wal_bytes;
    let (mut most, mut taken) = (0, begin);
    for n in 0..rows {
        insert(&store, 1, 30_000, n as u8);
        taken += told.try_iter().sum::<u64>();
        most = most.max(store.status().wal_bytes.saturating_sub(taken));
    }
    ended.store(true, SeqCst);
    drop(told);
    drop(never);
    let _ = taker.join();
    drop(folder);
    (most, store.status().wal_bytes - begin, store)
}

#[test]
fn writes_go_at_the_rate_of_a_follower_that_is_slower() {
    let (most, written, store) = beside_a_slow_one(Some(Duration::from_millis(50)), Duration::from_millis(700));
    assert!(most < written * 6 / 10, "{most} bytes of {written} waited for the follower");
    assert!(store.status().rested > Duration::from_millis(100), "{:?}", store.status());
}

#[test]
fn nobody_rests_for_a_follower_that_named_no_age() {
    let (most, written, store) = beside_a_slow_one(None, Duration::from_millis(200));
    assert!(most > written / 2, "{most} bytes of {written}: the follower was not slow");
    assert_eq!(store.status().rested, Duration::ZERO);
}
