//! Archives are proven beside the work, and a wrong one is found though all its checksums are right.

#![allow(clippy::unwrap_used)]

mod keeping;

use keeping::{Dice, LONG, SERVICE, World, insert, quick, work};
use monolite_archive::{Archive, BASES, Config, Disk, History, Level, Room, Segment};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn proving(every: Duration) -> Config {
    Config { verify_every: every, verify_first: Duration::ZERO, verify_bytes_per_second: 1 << 40, ..quick() }
}

const SOON: Duration = Duration::from_millis(2);
const ONCE: Duration = Duration::from_secs(3600);

fn proven(archive: &Archive, proofs: u64) -> monolite_archive::Status {
    assert!(archive.watch(SERVICE, LONG, |s| s.proofs >= proofs).unwrap(), "{:?}", archive.status());
    archive.status_of(SERVICE).unwrap()
}

/// Flips one byte of a blob in a segment, and writes it again with checksums that are right.
fn plant(history: &History, segment: &Segment) {
    let mut decoder = history.read(segment, 1 << 20).unwrap();
    let mut pages = Vec::new();
    while let Some(number) = decoder.next().unwrap() {
        pages.push((number, decoder.page().to_vec()));
    }
    let header = decoder.header();
    let blob = |page: &[u8]| page.windows(64).position(|window| window == [0x5A; 64]);
    let (page, at) = pages.iter_mut().find_map(|(_, page)| blob(page).map(|at| (page, at))).unwrap();
    page[at + 32] ^= 1;
    history.delete(segment).unwrap();
    let mut writing = history.write(segment.level, header).unwrap();
    pages.iter().for_each(|(number, page)| writing.page(*number, page).unwrap());
    writing.finish().unwrap();
}

/// A store with rows that can be told, a base of them, and more commits.
fn world() -> (World, monolite_store::Store) {
    let world = World::new();
    let store = world.store();
    let archive = world.keep(&store, Config { verify_every: Duration::ZERO, levels: Vec::new(), ..quick() });
    assert!(archive.watch(SERVICE, LONG, |s| s.last_base.is_some() && s.copying.is_none()).unwrap());
    let rows = store.write_blocking(|tx| {
        for _ in 0..50 {
            tx.execute("INSERT INTO t(v) VALUES (?1)", [vec![0x5A; 1000]])?;
        }
        Ok::<(), monolite_store::Error>(())
    });
    rows.unwrap();
    archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    archive.begin_base(SERVICE).unwrap();
    let last = store.sequence();
    assert!(archive.watch(SERVICE, LONG, |s| s.last_base == Some(last)).unwrap());
    insert(&store, 3, 100);
    archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    assert_eq!(archive.status_of(SERVICE).unwrap().proofs, 0, "zero is never");
    (world, store)
}

fn newest_base(history: &History) -> Segment {
    *history.level(BASES).unwrap().iter().max_by_key(|s| s.name.last).unwrap()
}

#[test]
fn an_archive_is_proven_while_its_store_is_written_and_nothing_is_left_behind() {
    let world = World::new();
    let store = world.store();
    let mut dice = Dice(0xD1CE);
    for _ in 0..40 {
        work(&store, &mut dice);
    }
    let archive = world.keep(&store, proving(SOON));
    let (mut sound, mut last) = (0, 0);
    let begun = std::time::Instant::now();
    while sound < 8 {
        assert!(begun.elapsed() < LONG, "{:?}", archive.status());
        work(&store, &mut dice);
        let now = archive.status_of(SERVICE).unwrap();
        assert_eq!(now.verification.wrong, None);
        let sequence = now.verification.sound.map_or(0, |sound| sound.sequence);
        assert!(sequence >= last);
        sound += u32::from(sequence > last);
        last = sequence;
    }
    let last = store.sequence();
    archive.archived(SERVICE, last).unwrap().wait(LONG).unwrap();
    let whole = archive.watch(SERVICE, LONG, |s| s.verification.sound.as_ref().is_some_and(|s| s.sequence == last));
    assert!(whole.unwrap(), "{:?}", archive.status());
    let proof = archive.status_of(SERVICE).unwrap().verification.sound.unwrap();
    assert!(proof.pages > 1 && proof.at_ms >= proof.moment_ms, "{proof:?}");
    drop(archive);
    assert!(!world.scratch().join("verify").exists());
}

#[test]
fn a_wrong_page_whose_checksums_are_right_is_found_and_stays_said_over_a_restart_until_a_sound_proof() {
    let (world, store) = world();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = told.clone();
    let heard: monolite_archive::Heard =
        Arc::new(move |service, known| hears.lock().unwrap().push((service.to_owned(), known.clone())));
    let config = Config { verified: Some(heard), levels: Vec::new(), ..proving(ONCE) };
    let archive = world.keep(&store, config.clone());
    let status = proven(&archive, 1);
    let sound = status.verification.sound.clone().unwrap();
    assert_eq!((sound.sequence, &status.verification.wrong), (store.sequence(), &None));
    let history = archive.history(SERVICE).unwrap();
    drop(archive);

    plant(&history, &newest_base(&history));
    assert!(
        monolite_archive::verify(&history, i64::MIN, &mut |_, _| std::ops::ControlFlow::Continue(()))
            .unwrap()
            .problems
            .is_empty()
    );
    let config = Config { verify_every: SOON, ..config };
    let archive = world.keep(&store, config.clone());
    let status = proven(&archive, 2);
    let wrong = status.verification.wrong.clone().unwrap();
    assert!(wrong.text.contains("1 pages of commit"), "{wrong:?}");
    assert_eq!(status.verification.sound.as_ref(), Some(&sound), "the last sound one is still known");
    assert_eq!(told.lock().unwrap().last().unwrap().1.wrong, Some(wrong.clone()), "told");
    drop(archive);

    // Over a restart, where nothing is proven: the first time it was found is still the one.
    let off = Config { verify_every: Duration::ZERO, ..config.clone() };
    let archive = world.keep(&store, off);
    assert_eq!(archive.status_of(SERVICE).unwrap().verification.wrong, Some(wrong));
    // A new base leads past the wrong one.
    insert(&store, 1, 10);
    archive.begin_base(SERVICE).unwrap();
    let last = store.sequence();
    assert!(archive.watch(SERVICE, LONG, |s| s.last_base == Some(last)).unwrap());
    drop(archive);
    let archive = world.keep(&store, config);
    assert!(archive.watch(SERVICE, LONG, |s| s.verification.wrong.is_none()).unwrap(), "{:?}", archive.status());
}

#[test]
fn a_damaged_segment_and_a_gap_are_wrong_also_where_the_newest_state_can_be_restored() {
    let (world, store) = world();
    let archive = world.keep(&store, Config { levels: Vec::new(), ..proving(ONCE) });
    proven(&archive, 1);
    let history = archive.history(SERVICE).unwrap();
    drop(archive);
    let base = newest_base(&history);
    let path = world.path("archive").join(history.segment_name(base.level, base.name));
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&path, bad).unwrap();
    let config = Config { levels: Vec::new(), ..proving(SOON) };
    let archive = world.keep(&store, config.clone());
    let found =
        archive.watch(SERVICE, LONG, |s| s.verification.wrong.as_ref().is_some_and(|w| w.text.contains("damaged")));
    assert!(found.unwrap(), "{:?}", archive.status());
    drop(archive);

    std::fs::write(&path, good).unwrap();
    let last = *history.level(Level::CAPTURED).unwrap().last().unwrap();
    let archive = world.keep(&store, config);
    assert!(archive.watch(SERVICE, LONG, |s| s.verification.wrong.is_none()).unwrap());
    insert(&store, 1, 10);
    archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    history.delete(&last).unwrap();
    let found =
        archive.watch(SERVICE, LONG, |s| s.verification.wrong.as_ref().is_some_and(|w| w.text.contains("missing")));
    assert!(found.unwrap(), "{:?}", archive.status());
}

#[test]
fn the_end_of_the_archiver_does_not_wait_for_a_proof() {
    let (world, store) = world();
    let archive = world.keep(&store, Config { verify_bytes_per_second: 1, ..proving(SOON) });
    // It takes days at this pace; the folder is there while it goes on.
    let began = std::time::Instant::now();
    let folder = world.scratch().join("verify");
    while !folder.exists() {
        assert!(began.elapsed() < LONG, "{:?}", archive.status());
        std::thread::yield_now();
    }
    drop(archive);
    assert!(began.elapsed() < LONG && !folder.exists());
}

#[test]
fn a_proof_ends_where_others_need_the_room_and_takes_none_of_theirs() {
    let (world, store) = world();
    let looks = Arc::new(AtomicU64::new(0));
    let counted = looks.clone();
    // At its beginning there is room; then somebody else takes it.
    let disk = move |_: &std::path::Path| {
        let free = if counted.fetch_add(1, SeqCst) == 0 { 1 << 40 } else { 1 << 20 };
        Ok(Disk { free, whole: 1 << 41 })
    };
    let verify_room = Room { left: 1 << 30, is_shared: false, disk: Arc::new(disk) };
    // As slow as can be: it is in its middle when the room is looked at again.
    let config = Config { verify_room, verify_bytes_per_second: 1, ..proving(ONCE) };
    let archive = world.keep(&store, config);
    let known = proven(&archive, 1).verification;
    assert!(known.hindered.as_ref().is_some_and(|why| why.contains("left to others")), "{known:?}");
    assert!(known.wrong.is_none() && known.sound.is_none() && looks.load(SeqCst) == 2, "{known:?}");
    assert!(!world.scratch().join("verify").exists());
}
