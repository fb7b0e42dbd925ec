//! Two servers on copies of one file, both archiving to one place: what is restored is one writer's line, whatever the order.

#![allow(clippy::unwrap_used)]

mod copies;
mod keeping;

use copies::{Copied, Writer, another, assert_one_line, history, one_and_a_copy, restored, when_asked};
use keeping::{Dice, LONG, SERVICE, World, quick};
use monolite_archive::place::testing::{Faulty, Step};
use monolite_archive::{Archive, Error, Kind, Level, Place, Plan, Target, compact, plan, verify};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};

#[test]
fn of_two_that_write_from_one_commit_one_line_is_restored_whatever_the_order() {
    for seed in 1..=4 {
        let mut dice = Dice(seed * 0x9e37_79b9);
        dice.roll(2);
        let shared = World::new();
        let what = [Copied::File, Copied::Folder][seed as usize % 2];
        let (a, copied) = one_and_a_copy(shared.place(), what, quick());
        let history = history(&a, shared.place());
        let case = format!("seed {seed}");
        let Ok(b) = another(&a, copied, shared.place(), quick()) else { continue };
        let mut writers = [a, b];
        let mut acknowledged = Vec::new();
        for _ in 0..10 {
            let who = dice.roll(2) as usize;
            let sequence = writers[who].write(&mut dice);
            if dice.roll(3) == 0 && writers[who].archived(sequence) {
                acknowledged.push((who, sequence));
            }
        }
        for (who, writer) in writers.iter().enumerate() {
            let sequence = writer.store.sequence();
            if writer.was.len() > 1 && writer.archived(sequence) && !writer.is_stopped() {
                acknowledged.push((who, sequence));
            }
        }
        assert!(writers.iter().all(|w| w.was.len() == 1 || writers.iter().any(Writer::is_stopped)), "{case}");
        assert_one_line(&history, [&writers[0], &writers[1]], &acknowledged, &case);
    }
}

/// A place whose puts of segments are held back from the time that is said, each until it is let go.
struct Held {
    place: Arc<dyn Place>,
    holds: Arc<AtomicBool>,
    told: mpsc::Receiver<String>,
    go: mpsc::SyncSender<()>,
}

fn held_back(place: Arc<dyn Place>) -> Held {
    let ((tell, told), (go, gone)) = (mpsc::sync_channel(64), mpsc::sync_channel(64));
    let holds = Arc::new(AtomicBool::new(false));
    let held = holds.clone();
    let judge = move |step: Step, name: &str| {
        if step == Step::Finish && name.contains("/ltx/") && held.load(SeqCst) {
            tell.send(name.to_owned()).unwrap();
            gone.recv_timeout(LONG).unwrap();
        }
        None
    };
    Held { place: Arc::new(Faulty::new(place, judge)), holds, told, go }
}

#[test]
fn a_put_that_was_on_its_way_while_another_took_the_history_does_not_count_and_is_nobodys() {
    let shared = World::new();
    let slow = held_back(shared.place());
    let (mut a, copied) = one_and_a_copy(slow.place.clone(), Copied::File, when_asked());
    let (mut dice, history, out) = (Dice(7), history(&a, shared.place()), World::new());
    slow.holds.store(true, SeqCst);
    let first = a.write(&mut dice);
    let held = a.write(&mut dice);
    let waits = a.archive.archived(SERVICE, held).unwrap();
    assert!(slow.told.recv_timeout(LONG).unwrap().contains(&format!("{held:x}.ltx")));
    let mut b = another(&a, copied, shared.place(), when_asked()).unwrap();
    b.write(&mut dice);
    assert!(b.archived(first));
    b.write(&mut dice);
    b.write(&mut dice);
    let last = b.store.sequence();
    assert!(b.archived(last));
    // The older one's put comes late, of other commits than the newer one's.
    slow.go.send(()).unwrap();
    let why = a.stopped_by();
    assert!(why.contains("taken") && why.contains("over"), "{why}");
    assert!(waits.wait(LONG).is_err());
    let b_was = |b: &Writer, at| b.was.get(&at).cloned();
    let (at, rows) = restored(&history, Target::Latest, &out).unwrap();
    assert_eq!((at, Some(rows)), (last, b_was(&b, last)));
    let found = verify(&history, i64::MIN, &mut |_, _| ControlFlow::Continue(())).unwrap();
    assert!(found.problems.iter().any(|p| p.to_string().contains("overtaken")), "{:?}", found.problems);
    assert_eq!(found.last, last);
    // The newer one goes on, also over a restart, and takes out what is in its way.
    let last = b.write(&mut dice);
    assert!(b.archived(last));
    let Writer { world, store, archive, was, .. } = b;
    drop(archive);
    store.abandon();
    let mut b = another(&a, world, shared.place(), quick()).unwrap();
    b.was.extend(was);
    for _ in 0..5 {
        let sequence = b.write(&mut dice);
        assert!(b.archived(sequence));
    }
    assert!(b.archive.watch(SERVICE, LONG, |s| s.segments.0 > 0 && s.copying.is_none()).unwrap());
    let (at, rows) = restored(&history, Target::Latest, &out).unwrap();
    assert_eq!((at, Some(rows)), (b.store.sequence(), b_was(&b, b.store.sequence())));
    // And the older one is refused when it starts again.
    let Writer { world, store, archive, .. } = a;
    drop(archive);
    store.abandon();
    let store = world.store();
    let archive = Archive::start(shared.place(), quick()).unwrap();
    let refused = archive.keep(SERVICE, &store, &world.scratch()).unwrap_err();
    assert!(matches!(refused.kind(), Kind::Behind | Kind::Apart) && refused.sides().is_some(), "{refused}");
}

#[test]
fn one_that_claims_too_late_is_refused_and_leaves_the_other_its_history() {
    for what in [Copied::File, Copied::Folder] {
        let shared = World::new();
        let (mut a, copied) = one_and_a_copy(shared.place(), what, when_asked());
        let mut dice = Dice(3);
        // Looked at the archive, and wrote; the other one's commits came first.
        let mut b = another(&a, copied, shared.place(), when_asked()).unwrap();
        let sequence = a.write(&mut dice);
        a.write(&mut dice);
        assert!(a.archived(sequence + 1));
        b.write(&mut dice);
        assert!(!b.archived(sequence));
        let why = b.stopped_by();
        assert!(why.contains("another server") || why.contains("another program"), "{why}");
        let last = a.write(&mut dice);
        assert!(a.archived(last), "{:?}", a.archive.status());
        let history = history(&a, shared.place());
        assert_one_line(&history, [&a, &b], &[(0, sequence + 1), (0, last)], "late");
    }
}

#[test]
fn one_that_made_another_commit_under_the_same_number_as_the_same_writer_is_refused_at_its_next_start() {
    let shared = World::new();
    let (first, copied) = one_and_a_copy(shared.place(), Copied::Folder, when_asked());
    let Writer { world, store, archive, was, .. } = first;
    drop(archive);
    store.abandon();
    // Both go on from the same opening, so both are the next writer.
    let served = |world: World, name| {
        let (store, archive) = (world.store(), Archive::start(shared.place(), when_asked()).unwrap());
        archive.keep(SERVICE, &store, &world.scratch()).unwrap();
        Writer { world, name, store, archive, was: was.clone() }
    };
    let (mut a, mut b, mut dice) = (served(world, b'a'), served(copied, b'b'), Dice(13));
    let sequence = b.write(&mut dice);
    assert!(b.archived(sequence), "{:?}", b.archive.status());
    assert_eq!(a.write(&mut dice), sequence);
    assert!(!a.archived(sequence));
    a.stopped_by();
    let Writer { world, store, archive, .. } = a;
    drop(archive);
    store.abandon();
    let (store, archive) = (world.store(), Archive::start(shared.place(), when_asked()).unwrap());
    assert_eq!(store.sequence(), sequence, "exactly at the archive's end, as far as numbers say");
    let refused = archive.keep(SERVICE, &store, &world.scratch()).unwrap_err();
    assert_eq!((refused.kind(), refused.sides().map(|s| s.archive)), (Kind::Apart, Some(sequence)), "{refused}");
    assert!(!refused.to_string().contains("  "), "{refused}");
    let last = b.write(&mut dice);
    assert!(b.archived(last), "{:?}", b.archive.status());
    let out = World::new();
    let history = history(&b, shared.place());
    assert_eq!(restored(&history, Target::Sequence(sequence), &out).unwrap().1, b.was[&sequence]);
}

#[test]
fn one_whose_copy_is_older_than_what_was_merged_is_refused_where_the_first_level_is_empty() {
    let shared = World::new();
    let (mut a, copied) = one_and_a_copy(shared.place(), Copied::File, when_asked());
    let (mut dice, history, before) = (Dice(9), history(&a, shared.place()), a.store.sequence());
    let mut b = another(&a, copied, shared.place(), when_asked()).unwrap();
    for _ in 0..3 {
        let sequence = a.write(&mut dice);
        assert!(a.archived(sequence));
    }
    // As upkeep does, some minutes later: merged, and what it was merged from is deleted.
    let mut newer = history.level(Level::CAPTURED).unwrap();
    newer.retain(|s| s.name.last > before);
    assert_eq!(newer.len(), 3);
    compact(&history, &newer, Level::new(1).unwrap(), &shared.path("merging")).unwrap();
    newer.iter().for_each(|s| history.delete(s).unwrap());
    let sequence = b.write(&mut dice);
    assert!(!b.archived(sequence), "a history was taken over whose newest commits the file does not have");
    let why = b.stopped_by();
    assert!(why.contains("another server"), "{why}");
    let acknowledged = a.store.sequence();
    let last = a.write(&mut dice);
    assert!(a.archived(last), "{:?}", a.archive.status());
    assert_one_line(&history, [&a, &b], &[(0, acknowledged), (0, last)], "merged");
}

#[test]
fn one_that_serves_a_copy_and_writes_nothing_leaves_the_other_alone() {
    let shared = World::new();
    let (mut a, copied) = one_and_a_copy(shared.place(), Copied::Folder, quick());
    let b = another(&a, copied, shared.place(), quick()).unwrap();
    for _ in 0..3 {
        let sequence = a.write(&mut Dice(5));
        assert!(a.archived(sequence), "{:?}", a.archive.status());
    }
    drop(b);
    let segments: Vec<Plan> = vec![plan(&history(&a, shared.place()), Target::Latest).unwrap()];
    assert_eq!(segments[0].last(), a.store.sequence());
}

#[test]
fn a_claim_of_one_that_was_killed_before_it_held_it_is_taken_back_by_its_next_start() {
    let shared = World::new();
    let (mut a, copied) = one_and_a_copy(shared.place(), Copied::File, when_asked());
    let (mut dice, history, out) = (Dice(11), history(&a, shared.place()), World::new());
    let ((tell, told), (go, gone)) = (mpsc::sync_channel(64), mpsc::sync_channel::<()>(1));
    let (mut marks, killed) = (0, Arc::new(AtomicBool::new(false)));
    let is_killed = killed.clone();
    let place = Faulty::new(shared.place(), move |step, name| {
        if step == Step::Create && name.ends_with(".next") {
            marks += 1;
            if marks == 1 {
                tell.send(()).unwrap();
                gone.recv_timeout(LONG).unwrap();
            }
        }
        let dead = is_killed.load(SeqCst);
        if step == Step::Finished && name.contains("/claims/") && !name.ends_with(".next") {
            is_killed.store(true, SeqCst);
        }
        dead.then(|| Error::new(Kind::Unreachable, "killed"))
    });
    let mut b = another(&a, copied, Arc::new(place), when_asked()).unwrap();
    let sequence = b.write(&mut dice);
    let waits = b.archive.archived(SERVICE, sequence).unwrap();
    told.recv_timeout(LONG).unwrap();
    // It has looked and not marked yet: what the other one commits now counts.
    assert_eq!(a.write(&mut dice), sequence);
    assert!(a.archived(sequence), "{:?}", a.archive.status());
    go.send(()).unwrap();
    assert!(b.archive.watch(SERVICE, LONG, |_| killed.load(SeqCst)).unwrap());
    let Writer { world: copied, store, archive, .. } = b;
    drop((archive, waits));
    store.abandon();
    // Nobody acknowledges more beside that claim.
    let more = a.write(&mut dice);
    assert!(!a.archived(more));
    a.stopped_by();
    let refused = another(&a, copied, shared.place(), when_asked()).err().unwrap();
    assert!(matches!(refused.kind(), Kind::Apart | Kind::Behind), "{refused}");
    let (at, rows) = restored(&history, Target::Latest, &out).unwrap();
    assert!(at >= sequence, "commit {sequence} was acknowledged, and {at} is the newest");
    assert_eq!(Some(&rows), a.was.get(&at));
    // The older one goes on once it is started again.
    let Writer { world, store, archive, was, .. } = a;
    drop(archive);
    store.abandon();
    let store = world.store();
    let archive = Archive::start(shared.place(), quick()).unwrap();
    archive.keep(SERVICE, &store, &world.scratch()).unwrap();
    archive.archived(SERVICE, store.sequence()).unwrap().wait(LONG).unwrap();
    let (at, rows) = restored(&history, Target::Latest, &out).unwrap();
    assert_eq!((at, Some(&rows)), (store.sequence(), was.get(&more)));
}
