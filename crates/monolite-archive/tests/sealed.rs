//! A sealed archive: opens with its key only, and notices what was done to it.

#![allow(clippy::unwrap_used)]
#![cfg(feature = "seal")]

mod histories;

use histories::World;
use monolite_archive::place::{Folder, Key, Reader, Sealed};
use monolite_archive::{Check, Kind, Place, Target, restore, verify};
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn sealed(folder: &Path, key: u8) -> Arc<dyn Place> {
    Arc::new(Sealed::new(Arc::new(Folder::open(folder).unwrap()), Key::new(&[key; 32])))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_sealed_history_is_restored_with_its_key_and_shows_no_page_without() {
    let scratch = tempfile::tempdir().unwrap();
    let archive = scratch.path().join("archive");
    let mut world = World::new(4, 4096, 0, sealed(&archive, 1), scratch.path());
    world.run("INSERT INTO t0 (tag) VALUES ('a word that nobody may read')");
    world.live(40);
    let found = verify(&world.history, i64::MIN, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!((found.problems, found.last), (vec![], world.last()));
    let out = scratch.path().join("out.db");
    restore(&world.history, Target::Latest, &out, Check::Full, &mut |_| ControlFlow::Continue(())).unwrap();
    world.check(world.last(), &out, "sealed");
    for file in files(&archive) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(9).any(|w| w == b"that nobo") && !bytes.windows(4).any(|w| w == b"LTX1"), "{file:?}");
    }
    let other =
        monolite_archive::History::new(sealed(&archive, 2), "World", "0123456789abcdef0123456789abcdef").unwrap();
    let two = scratch.path().join("two.db");
    let refused = restore(&other, Target::Latest, &two, Check::Full, &mut |_| ControlFlow::Continue(()));
    assert_eq!(refused.unwrap_err().kind(), Kind::Denied);
    assert!(!two.exists());
}

#[test]
fn without_its_key_or_with_another_one_it_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let place = sealed(scratch.path(), 1);
    place.put_new("a/monolite.json", b"{}", 5).unwrap();
    let plain: Arc<dyn Place> = Arc::new(Folder::open(scratch.path()).unwrap());
    let refused = plain.read_small("a/monolite.json").unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied);
    assert!(refused.to_string().contains("is sealed: archive.key_file"), "{refused}");
    let refused = sealed(scratch.path(), 2).read_small("a/monolite.json").unwrap_err().to_string();
    let ids = [1, 2].map(|key| Key::new(&[key; 32]).id());
    assert!(ids.iter().all(|id| refused.contains(id)), "{refused}");
    // What is no file is not waited for.
    let refused = Key::read(scratch.path()).unwrap_err().to_string();
    assert!(refused.contains("is not a file"), "{refused}");
}

#[test]
fn every_size_and_range_comes_back() {
    let scratch = tempfile::tempdir().unwrap();
    let place = sealed(scratch.path(), 1);
    for size in [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000] {
        let bytes: Vec<u8> = (0..size).map(|n: usize| (n * 7 / 3).to_le_bytes()[0]).collect();
        let (new, replaced) = (format!("new/{size}"), format!("replaced/{size}"));
        place.put_new(&new, &bytes, 5).unwrap();
        place.put(&replaced, b"before").unwrap();
        assert_eq!(place.read_small(&replaced).unwrap().unwrap(), b"before");
        place.put(&replaced, &bytes).unwrap();
        for name in [&new, &replaced] {
            for range in [1_000, 65_536, 65_537, 1 << 20] {
                let mut back = Vec::new();
                Reader::new(Arc::clone(&place), name, range).read_to_end(&mut back).unwrap();
                assert!(back == bytes, "{name} by {range}");
            }
        }
        let mut part = Vec::new();
        place.read(&new, 60_000, 10_000, &mut part).unwrap();
        assert_eq!(part, bytes.iter().skip(60_000).take(10_000).copied().collect::<Vec<_>>());
        let entries = place.list("new").unwrap();
        assert!(entries.iter().any(|entry| entry.name == size.to_string() && entry.bytes == size as u64));
    }
    let mut slowly = place.create("slowly").unwrap();
    (0..70_000u32).for_each(|n| slowly.write_all(&n.to_le_bytes()[..3]).unwrap());
    slowly.finish(0).unwrap();
    assert_eq!(place.read_small("slowly").unwrap().unwrap().len(), 210_000);
    assert_eq!(place.put_new("slowly", b"", 0).unwrap_err().kind(), Kind::Exists);
}

#[test]
fn what_was_changed_moved_or_cut_does_not_open() {
    let scratch = tempfile::tempdir().unwrap();
    let place = sealed(scratch.path(), 1);
    let bytes = vec![7; 3 * 65_536];
    place.put_new("x", &bytes, 0).unwrap();
    place.put_new("y", &bytes, 0).unwrap();
    let path = scratch.path().join("x");
    let sound = std::fs::read(&path).unwrap();
    let (header, piece) = (48, 65_536 + 16);
    let mut wrong = vec![std::fs::read(scratch.path().join("y")).unwrap()];
    for at in [0, 20, header, header + piece - 1, sound.len() - 1] {
        let mut flipped = sound.clone();
        flipped[at] ^= 1;
        wrong.push(flipped);
    }
    wrong.extend([header + piece, header + 2 * piece, header, sound.len() - 1, 10].map(|cut| sound[..cut].to_vec()));
    let mut swapped = sound.clone();
    swapped[header..header + 2 * piece].rotate_left(piece);
    wrong.push(swapped);
    wrong.push([&sound[..], &sound[header..header + piece]].concat());
    for (n, bytes) in wrong.into_iter().enumerate() {
        std::fs::write(&path, bytes).unwrap();
        // Ranges that end where pieces do, too: an object that was cut there looks whole.
        for range in [65_536, 1 << 20] {
            let read = Reader::new(Arc::clone(&place), "x", range).read_to_end(&mut Vec::new());
            assert!(read.is_err(), "{n} by {range}");
        }
    }
    std::fs::write(&path, sound).unwrap();
    assert!(place.read_small("x").unwrap().unwrap() == bytes);
}

#[test]
fn a_key_is_read_from_a_file_of_its_owner() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("key");
    std::fs::write(&path, format!("{}\n", "ab".repeat(32))).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o440)).unwrap();
    assert_eq!(Key::read(&path).unwrap_err().kind(), Kind::Denied);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let folder = scratch.path().join("archive");
    let place = Sealed::new(Arc::new(Folder::open(&folder).unwrap()), Key::read(&path).unwrap());
    place.put("x", b"said").unwrap();
    assert_eq!(sealed(&folder, 0xab).read_small("x").unwrap().unwrap(), b"said");
    for wrong in ["", "ab", &"+1".repeat(32), &"ab".repeat(33)] {
        std::fs::write(&path, wrong).unwrap();
        assert_eq!(Key::read(&path).unwrap_err().kind(), Kind::Invalid, "{wrong}");
    }
    assert_eq!(Key::read(&scratch.path().join("none")).unwrap_err().kind(), Kind::Missing);
}
