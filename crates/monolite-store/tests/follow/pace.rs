//! A follower that is slower than the writer sets its pace, one that is stuck does not.

use super::world::*;
use monolite_store::{Config, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// Writes so many rows beside a follower that rests after each 64 KiB; answers the most that waited for it.
fn beside_a_slow_one(late: Option<Duration>, rows: u32) -> (u64, Store) {
    let (folder, path) = folder();
    // Never started over: what is in it is what was ever written.
    let (store, mut follower) = followed(&path, Config { wal_soft_bytes: 1 << 40, ..config() });
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
                let _ = rests.recv_timeout(Duration::from_millis(2));
            }
            if !follower.arm() {
                follower.wait(Duration::from_millis(20));
            }
        }
        drop(rests);
    });
    let (mut most, mut taken) = (0, 0);
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
    (most, store)
}

#[test]
fn writes_go_at_the_rate_of_a_follower_that_is_slower() {
    // Some 60 MB in half a second, of which the follower takes less than a quarter in that time.
    let (most, store) = beside_a_slow_one(Some(Duration::from_millis(50)), 1_500);
    assert!(most < 30 << 20, "{most} bytes waited for the follower");
    assert!(store.status().rested > Duration::from_millis(100), "{:?}", store.status());
}

#[test]
fn nobody_rests_for_a_follower_that_named_no_age() {
    let (_, store) = beside_a_slow_one(None, 200);
    assert_eq!(store.status().rested, Duration::ZERO);
}
