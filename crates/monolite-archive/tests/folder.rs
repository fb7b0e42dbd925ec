//! A folder as a place: names appear whole, once, and durable.

#![allow(clippy::unwrap_used)]

use monolite_archive::place::testing::{Faulty, Step};
use monolite_archive::place::{Folder, Reader};
use monolite_archive::{BASES, Claim, Error, History, Kind, Level, Manifest, Place, SegmentName, claim, ltx};
use std::io::{Read, Write};
use std::sync::{Arc, Barrier};

fn folder() -> (tempfile::TempDir, Arc<dyn Place>) {
    let scratch = tempfile::tempdir().unwrap();
    let place = Folder::open(scratch.path().join("archive")).unwrap();
    (scratch, Arc::new(place))
}

fn read(place: &Arc<dyn Place>, name: &str) -> Vec<u8> {
    place.read_small(name).unwrap().unwrap()
}

#[test]
fn what_is_put_comes_back_with_its_moment() {
    let (_scratch, place) = folder();
    place.put_new("a/b/c.ltx", b"one", 1_760_000_000_123).unwrap();
    assert_eq!(read(&place, "a/b/c.ltx"), b"one");
    let entries = place.list("a/b").unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].name.as_str(), entries[0].bytes, entries[0].created_ms), ("c.ltx", 3, 1_760_000_000_123));
    assert_eq!(place.folders("").unwrap(), ["a"]);
    assert_eq!(place.folders("a").unwrap(), ["b"]);
    assert_eq!((place.list("a").unwrap(), place.list("none").unwrap()), (vec![], vec![]));
    place.delete("a/b/c.ltx").unwrap();
    place.delete("a/b/c.ltx").unwrap();
    assert_eq!(place.read_small("a/b/c.ltx").unwrap(), None);
}

#[test]
fn a_name_is_given_once() {
    let (scratch, place) = folder();
    place.put_new("x", b"first", 0).unwrap();
    assert_eq!(place.put_new("x", b"second", 0).unwrap_err().kind(), Kind::Exists);
    assert_eq!(read(&place, "x"), b"first");
    place.put("x", b"third").unwrap();
    assert_eq!(read(&place, "x"), b"third");
    let left = std::fs::read_dir(scratch.path().join("archive/.partial")).unwrap().count();
    assert_eq!(left, 0, "nothing unfinished lies about");
}

#[test]
fn of_many_racing_writers_one_gets_the_name() {
    let (_scratch, place) = folder();
    for round in 0..50 {
        let barrier = Barrier::new(4);
        let name = format!("claims/{round}");
        let won: Vec<bool> = std::thread::scope(|s| {
            let one = |n: u8| {
                let (place, name, barrier) = (&place, &name, &barrier);
                s.spawn(move || {
                    barrier.wait();
                    place.put_new(name, &[n; 100], 0).is_ok()
                })
            };
            let threads: Vec<_> = (0..4).map(one).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        let winner = u8::try_from(won.iter().position(|won| *won).unwrap()).unwrap();
        assert_eq!(read(&place, &name), [winner; 100]);
    }
}

#[test]
fn what_is_not_finished_has_no_name() {
    let (scratch, place) = folder();
    let mut upload = place.create("a/x").unwrap();
    upload.write_all(b"half").unwrap();
    assert_eq!(place.read_small("a/x").unwrap(), None);
    drop(upload);
    assert_eq!(place.read_small("a/x").unwrap(), None);
    assert_eq!(std::fs::read_dir(scratch.path().join("archive/.partial")).unwrap().count(), 0);
}

#[test]
fn a_name_cannot_leave_the_folder() {
    let (_scratch, place) = folder();
    for name in ["../x", "a/../../x", "/etc/x", "", "a//b", "."] {
        assert_eq!(place.put_new(name, b"", 0).unwrap_err().kind(), Kind::Invalid, "{name}");
    }
}

#[test]
fn an_archive_that_is_not_there_is_not_made_by_reading() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("none");
    assert_eq!(Folder::existing(&path).unwrap_err().kind(), Kind::Missing);
    assert!(!path.exists());
}

#[test]
fn a_reader_joins_ranges() {
    let (_scratch, place) = folder();
    let bytes: Vec<u8> = (0..10_000u32).map(|n| n.to_le_bytes()[0]).collect();
    place.put_new("x", &bytes, 0).unwrap();
    for range in [1, 7, 1_000, 10_000, 20_000] {
        let mut back = Vec::new();
        Reader::new(Arc::clone(&place), "x", range).read_to_end(&mut back).unwrap();
        assert!(back == bytes, "{range}");
    }
    let mut tail = Vec::new();
    place.read("x", 9_998, 100, &mut tail).unwrap();
    assert_eq!(tail, bytes[9_998..]);
    place.read("x", 20_000, 100, &mut tail).unwrap();
    assert_eq!(tail.len(), 2);
}

fn header(first: u64, last: u64) -> ltx::Header {
    ltx::Header { page_size: 512, pages: 2, first, last, at_ms: 1_000 + i64::try_from(last).unwrap(), epoch: 1 }
}

#[test]
fn a_history_lists_its_segments_by_level() {
    let (_scratch, place) = folder();
    let history = History::new(Arc::clone(&place), "Users", "00ff").unwrap();
    assert_eq!(history.segments().unwrap(), []);
    for (level, first, last) in [(0, 2, 2), (0, 3, 7), (1, 2, 7), (9, 1, 7)] {
        let mut writing = history.write(Level::new(level).unwrap(), header(first, last)).unwrap();
        (1..=2).for_each(|n| writing.page(n, &[0; 512]).unwrap());
        writing.finish().unwrap();
    }
    place.put_new("Users/00ff/ltx/0/README", b"not a segment", 0).unwrap();
    let all = history.segments().unwrap();
    let seen: Vec<_> = all.iter().map(|s| (s.level.number(), s.name.first, s.name.last, s.created_ms)).collect();
    assert_eq!(seen, [(0, 2, 2, 1_002), (0, 3, 7, 1_007), (1, 2, 7, 1_007), (9, 1, 7, 1_007)]);
    assert_eq!(history.header(&all[3]).unwrap(), header(1, 7));
    assert_eq!(history.read(&all[1], 64).unwrap().next().unwrap(), Some(1));
    let base = history.segment_name(BASES, SegmentName { first: 1, last: 7 });
    assert_eq!(base, "Users/00ff/ltx/9/0000000000000001-0000000000000007.ltx");

    let stolen = read(&place, &base);
    place.put_new("Users/00ff/ltx/9/0000000000000001-0000000000000008.ltx", &stolen, 0).unwrap();
    let renamed = history.level(BASES).unwrap()[1];
    assert_eq!(history.header(&renamed).unwrap_err().kind(), Kind::Damaged);
    history.delete(&renamed).unwrap();
    assert_eq!(history.level(BASES).unwrap().len(), 1);
}

#[test]
fn an_epoch_is_claimed_once() {
    let (_scratch, place) = folder();
    let history = History::new(Arc::clone(&place), "Users", "00ff").unwrap();
    assert_eq!(claim(&history, 4, "mine", 0).unwrap(), Claim::Ours);
    assert_eq!(claim(&history, 4, "mine", 0).unwrap(), Claim::Ours);
    assert_eq!(claim(&history, 4, "theirs", 0).unwrap(), Claim::Others);
    // The answer was lost: what lies there says whose it is.
    let lost = |step, _: &str| (step == Step::Finished).then(|| Error::new(Kind::OutcomeUnknown, "no answer"));
    let faulty: Arc<dyn Place> = Arc::new(Faulty::new(place, lost));
    let history = History::new(faulty, "Users", "00ff").unwrap();
    assert_eq!(claim(&history, 5, "mine", 0).unwrap(), Claim::Ours);
}

#[test]
fn a_manifest_is_of_one_file_and_one_format() {
    let (_scratch, place) = folder();
    let history = History::new(Arc::clone(&place), "Users", "00ff").unwrap();
    assert_eq!(Manifest::read(&history).unwrap(), None);
    let manifest =
        Manifest { format: 3, service: "Users".into(), history: "00ff".into(), page_size: 4096, begun_ms: 5 };
    assert_eq!(manifest.settle(&history).unwrap(), manifest);
    let later = Manifest { begun_ms: 9, ..manifest.clone() };
    assert_eq!(later.settle(&history).unwrap(), manifest, "the first stays");
    let other = Manifest { history: "00fe".into(), ..manifest.clone() };
    assert_eq!(other.settle(&history).unwrap_err().kind(), Kind::Exists);
    place.put("Users/00ff/monolite.json", &serde_json::to_vec(&Manifest { format: 4, ..manifest }).unwrap()).unwrap();
    assert_eq!(Manifest::read(&history).unwrap_err().kind(), Kind::Newer);
}

#[test]
fn a_folder_that_is_held_is_not_made_anew_and_says_nothing_is_missing_while_it_is_away() {
    let scratch = tempfile::tempdir().unwrap();
    let (root, aside) = (scratch.path().join("archive"), scratch.path().join("aside"));
    let place = Folder::open(&root).unwrap().held().unwrap();
    place.put_new("a/b", b"one", 0).unwrap();
    let refuses = |what: &str| {
        let mut bytes = Vec::new();
        let asked = [
            place.put_new("a/c", b"two", 0),
            place.put("a/c", b"two"),
            place.read("a/b", 0, 10, &mut bytes),
            place.list("a").map(drop),
            place.folders("").map(drop),
            place.delete("a/b"),
        ];
        for asked in asked {
            let refused = asked.unwrap_err();
            assert_eq!(refused.kind(), Kind::Unreachable, "{refused}");
            assert!(refused.to_string().contains(what) && refused.to_string().contains("unmounted"), "{refused}");
        }
    };
    std::fs::rename(&root, &aside).unwrap();
    refuses("is gone");
    assert!(!root.exists(), "it was made anew");
    std::fs::create_dir(&root).unwrap();
    refuses("is not the folder that was opened");
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    std::fs::remove_dir(&root).unwrap();
    std::fs::rename(&aside, &root).unwrap();
    place.put_new("a/c", b"two", 0).unwrap();
    assert_eq!(place.list("a").unwrap().len(), 2);
}
