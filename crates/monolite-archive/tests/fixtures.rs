//! Archives of every past format version are restored as they were.

#![allow(clippy::unwrap_used)]

mod histories;

use histories::World;
use monolite_archive::place::Folder;
use monolite_archive::{BASES, Check, History, Level, Manifest, Place, Target, compact, restore, verify};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const HISTORY: &str = "0123456789abcdef0123456789abcdef";

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-3")
}

#[test]
fn an_archive_of_format_3_is_restored_as_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    // A restore pins what it reads; and a copy has other modification times, which must not matter.
    copy(&fixture().join("archive"), &scratch.path().join("archive"));
    let place: Arc<dyn Place> = Arc::new(Folder::existing(scratch.path().join("archive")).unwrap());
    let history = History::new(place, "World", HISTORY).unwrap();
    assert_eq!(Manifest::read(&history).unwrap().unwrap().format, 3);
    let found = verify(&history, i64::MIN, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!((found.segments, found.last, found.problems), (7, 6, vec![]));
    let at_ms = history.header(&history.level(BASES).unwrap()[0]).unwrap().at_ms;
    let targets = [(Target::Latest, 6), (Target::Sequence(3), 3), (Target::Before(at_ms + 1), 1)];
    for (target, sequence) in targets {
        let out = scratch.path().join(format!("{sequence}.db"));
        let done = restore(&history, target, &out, Check::Full, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(done.sequence, sequence);
        let was = std::fs::read(fixture().join(format!("{sequence}.db"))).unwrap();
        assert!(std::fs::read(&out).unwrap() == was, "commit {sequence}");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// How the fixture was made. Not to be run again: what it wrote is what has to be read.
#[test]
#[ignore = "writes the fixture"]
fn make() {
    let scratch = tempfile::tempdir().unwrap();
    let place: Arc<dyn Place> = Arc::new(Folder::open(fixture().join("archive")).unwrap());
    let mut world = World::new(3, 512, 2, place, scratch.path());
    let manifest = Manifest {
        format: 3,
        service: "World".into(),
        history: HISTORY.into(),
        page_size: 512,
        begun_ms: world.commit(1).at_ms,
    };
    manifest.settle(&world.history).unwrap();
    for sql in [
        "INSERT INTO t0 (body, tag) VALUES (noise(900), 'one'), (zeroblob(2000), 'two')",
        "CREATE INDEX i0 ON t0 (tag)",
        "DELETE FROM t0 WHERE tag = 'two'",
        "PRAGMA incremental_vacuum(3)",
        "INSERT INTO t0 (body, tag) VALUES (noise(3000), 'three')",
    ] {
        world.run(sql);
        world.archive(Level::CAPTURED);
    }
    let captured = world.history.level(Level::CAPTURED).unwrap();
    compact(&world.history, &captured[..3], Level::new(1).unwrap(), scratch.path()).unwrap();
    for sequence in [1, 3, 6] {
        let pages: Vec<u8> = world.commit(sequence).state.iter().flat_map(|page| page.iter().copied()).collect();
        std::fs::write(fixture().join(format!("{sequence}.db")), pages).unwrap();
    }
}
