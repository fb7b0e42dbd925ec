//! Claims beside each other, step by step.

use super::*;
use crate::Place;
use crate::layout::Level;
use crate::place::Folder;
use crate::place::testing::{Faulty, Step};
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

/// A place, and the folders of some writers beside it.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        World { folder: tempfile::tempdir().unwrap() }
    }

    fn place(&self) -> Arc<dyn Place> {
        Arc::new(Folder::open(self.folder.path().join("archive")).unwrap())
    }

    fn history(&self) -> History {
        History::new(self.place(), "Users", "1").unwrap()
    }

    /// The same, whose steps this hears first.
    fn faulty(&self, judge: impl FnMut(Step, &str) -> Option<Error> + Send + 'static) -> History {
        History::new(Arc::new(Faulty::new(self.place(), judge)), "Users", "1").unwrap()
    }

    /// The same, in which this happens as soon as that writer's claim lies there.
    fn once_claimed(&self, epoch: u64, mut happens: impl FnMut() + Send + 'static) -> History {
        let claim = format!("claims/{epoch:016x}");
        self.faulty(move |step, name| {
            if step == Step::Finished && name.ends_with(&claim) {
                happens();
            }
            None
        })
    }

    fn scratch(&self, name: &str) -> PathBuf {
        let scratch = self.folder.path().join(name);
        std::fs::create_dir_all(&scratch).unwrap();
        scratch
    }

    fn claims(&self) -> Vec<u64> {
        claims(&self.history()).unwrap().into_iter().collect()
    }
}

fn put(history: &History, commit: u64, epoch: u64) {
    let header = Header { page_size: 512, pages: 1, first: commit, last: commit, at_ms: 1, epoch };
    let mut writing = history.write(Level::CAPTURED, header).unwrap();
    writing.page(1, &[7; 512]).unwrap();
    writing.finish().unwrap();
}

fn take(history: &History, scratch: &Path, epoch: u64, after: (u64, u64)) -> Result<()> {
    let mine = Claimed { epoch, nonce: format!("n{epoch}"), after: Some(after) };
    Taking { history, id: "1", scratch, mine: &mine, archived: after.0, now_ms: 0, go_on: &|| Ok(()) }.take(|_| false)
}

fn kind(result: Result<()>) -> Option<Kind> {
    result.err().map(|e| e.kind())
}

#[test]
fn a_mark_that_a_third_writer_relies_on_stays_where_the_one_that_set_it_withdraws() {
    let world = World::new();
    let history = world.history();
    take(&history, &world.scratch("a"), 8, (42, 7)).unwrap();
    // A commit comes that the second one lacks, and before that one has looked a third one that has it.
    let (other, scratch, mut claimed, mut came) = (world.history(), world.scratch("c"), false, false);
    let slow = world.faulty(move |step, name| {
        if step == Step::Create && name.ends_with("8.next") {
            put(&other, 43, 8);
            refuse_marked(&other, 8).unwrap();
        }
        claimed |= step == Step::Finished && name.ends_with("claims/0000000000000009");
        if claimed && step == Step::List && name.contains("/ltx/") && !std::mem::replace(&mut came, true) {
            take(&other, &scratch, 10, (43, 8)).unwrap();
        }
        None
    });
    assert_eq!(kind(take(&slow, &world.scratch("b"), 9, (42, 7))), Some(Kind::Apart));
    assert_eq!(world.claims(), [8, 10]);
    let refused = refuse_marked(&history, 8).unwrap_err();
    assert!(refused.kind() == Kind::Apart && refused.to_string().contains("writer 10 has taken"), "{refused}");
    refuse_marked(&history, 10).unwrap();
}

#[test]
fn one_that_was_set_by_a_newcomer_that_withdrew_stops_nobody() {
    let world = World::new();
    let history = world.history();
    take(&history, &world.scratch("a"), 8, (42, 7)).unwrap();
    let other = world.history();
    let slow = world.once_claimed(9, move || put(&other, 43, 8));
    assert_eq!(kind(take(&slow, &world.scratch("b"), 9, (42, 7))), Some(Kind::Apart));
    assert_eq!(world.claims(), [8]);
    refuse_marked(&history, 8).unwrap();
}

#[test]
fn a_claim_under_which_commits_were_put_is_never_withdrawn() {
    let world = World::new();
    let (history, beside) = (world.history(), world.scratch("a"));
    take(&history, &world.scratch("b"), 8, (40, 7)).unwrap();
    take(&history, &beside, 9, (40, 7)).unwrap();
    put(&history, 41, 9);
    // The overtaken one's put comes late, and counts for nothing; then the same claim is taken again.
    put(&history, 44, 8);
    take(&history, &beside, 9, (40, 7)).unwrap();
    assert_eq!(world.claims(), [8, 9]);
    assert_eq!(kind(refuse_marked(&history, 8)), Some(Kind::Apart));
}

#[test]
fn a_claim_that_was_not_held_yet_is_withdrawn_also_where_it_is_taken_again() {
    let world = World::new();
    let (history, beside) = (world.history(), world.scratch("b"));
    take(&history, &world.scratch("a"), 8, (42, 7)).unwrap();
    // The claim is there, and the answer to the look is not.
    let mut claimed = false;
    let breaks = world.faulty(move |step, name| {
        claimed |= step == Step::Finished && name.ends_with("claims/0000000000000009");
        (claimed && step == Step::List).then(|| Error::new(Kind::Unreachable, "no answer"))
    });
    assert_eq!(kind(take(&breaks, &beside, 9, (42, 7))), Some(Kind::Unreachable));
    assert_eq!(world.claims(), [8, 9]);
    put(&history, 43, 8);
    assert_eq!(kind(take(&history, &beside, 9, (42, 7))), Some(Kind::Apart));
    assert_eq!(world.claims(), [8], "commits of the other one may have counted before");
}

#[test]
fn a_newcomer_that_lacks_commits_claims_nothing() {
    let world = World::new();
    take(&world.history(), &world.scratch("a"), 8, (42, 7)).unwrap();
    put(&world.history(), 43, 8);
    let watched = world.faulty(|step, name| {
        assert!(step != Step::Create || !name.contains("claims"), "{name}");
        None
    });
    assert_eq!(kind(take(&watched, &world.scratch("b"), 9, (42, 7))), Some(Kind::Apart));
}

#[test]
fn what_an_older_one_puts_behind_a_claim_whose_writer_was_killed_at_once_does_not_count() {
    let world = World::new();
    let history = world.history();
    take(&history, &world.scratch("a"), 8, (42, 7)).unwrap();
    let mut claimed = false;
    let killed = world.faulty(move |step, name| {
        claimed |= step == Step::Finished && name.ends_with("claims/0000000000000009");
        claimed.then(|| Error::new(Kind::Unreachable, "killed"))
    });
    assert!(take(&killed, &world.scratch("b"), 9, (42, 7)).is_err());
    assert_eq!(world.claims(), [8, 9]);
    put(&history, 43, 8);
    assert_eq!(kind(refuse_marked(&history, 8)), Some(Kind::Apart), "readers go by the newest claim");
}

#[test]
fn one_that_finds_a_newer_claim_beside_its_own_takes_its_own_back() {
    let world = World::new();
    let history = world.history();
    take(&history, &world.scratch("a"), 8, (42, 7)).unwrap();
    let newer = Claimed { epoch: 10, nonce: "n10".into(), after: Some((42, 7)) };
    let (there, other) = (newer.clone(), world.history());
    let slow = world.once_claimed(9, move || {
        there.put(&other, 0).unwrap();
    });
    assert_eq!(kind(take(&slow, &world.scratch("b"), 9, (42, 7))), Some(Kind::Apart));
    // The newer one withdraws too: nothing is left that stops the oldest.
    history.place().delete(&name(&history, newer.epoch)).unwrap();
    assert_eq!(world.claims(), [8]);
    refuse_marked(&history, 8).unwrap();
}

#[test]
fn claims_of_the_openings_before_go_with_the_one_that_withdraws() {
    let world = World::new();
    let (history, beside) = (world.history(), world.scratch("b"));
    take(&history, &world.scratch("a"), 8, (42, 7)).unwrap();
    let found = monolite_store::Found { history: 1u128.to_be_bytes(), sequence: 42, epoch: 7, page_size: 512 };
    openings::note(&beside, &found, 9).unwrap();
    // Its file is at commit 43 too, made by its writer 9 while the place was away.
    let mine = Claimed { epoch: 10, nonce: "n".into(), after: Some((43, 9)) };
    let other = world.history();
    let late = world.once_claimed(10, move || put(&other, 44, 8));
    let go_on = &|| Ok(());
    let taking = Taking { history: &late, id: "1", scratch: &beside, mine: &mine, archived: 42, now_ms: 0, go_on };
    assert_eq!(kind(taking.take(|_| false)), Some(Kind::Apart));
    assert_eq!(world.claims(), [8]);
}

#[test]
fn each_commit_has_the_writer_that_the_claims_lead_to() {
    let world = World::new();
    let history = world.history();
    let of = |commit| Writers::default().of(&history, commit).unwrap();
    assert_eq!(of(5), None);
    // Writer 4 is of an earlier program, writer 6 claimed nothing, and writer 8 went on apart.
    for (epoch, after) in [(4, None), (5, Some((30, 4))), (7, Some((40, 6))), (8, Some((41, 7))), (9, Some((45, 7)))] {
        Claimed { epoch, nonce: "n".into(), after }.put(&history, 0).unwrap();
    }
    assert_eq!([46, 45, 42, 41].map(of), [Some(9), Some(7), Some(7), Some(7)]);
    assert_eq!([40, 39, 30, 1].map(of), [Some(6), None, None, None]);
    // Who holds writer 8's claim goes by that, whoever comes.
    let held = Writers::default();
    assert_eq!(held.of(&history, 42).unwrap(), Some(7));
    held.forget(Some(8));
    assert_eq!([46, 42, 41].map(|commit| held.of(&history, commit).unwrap()), [Some(8), Some(8), Some(7)]);
}

#[test]
fn a_reader_that_began_while_a_newcomer_had_a_claim_goes_by_the_others_once_that_withdrew() {
    let world = World::new();
    let history = world.history();
    take(&history, &world.scratch("a"), 8, (42, 7)).unwrap();
    put(&history, 43, 8);
    let segment = history.level(Level::CAPTURED).unwrap()[0];
    let newcomer = Claimed { epoch: 9, nonce: "n9".into(), after: Some((42, 7)) };
    let begun = || {
        newcomer.put(&history, 0).unwrap();
        let reads = history.in_line();
        assert_eq!(reads.header(&segment).unwrap_err().kind(), Kind::Foreign);
        reads
    };
    let reads = begun();
    remove(&history, &newcomer).unwrap();
    assert_eq!(reads.header(&segment).unwrap().epoch, 8);
    // Where yet another one came meanwhile, what was read stands.
    let reads = begun();
    Claimed { epoch: 10, nonce: "n10".into(), after: Some((43, 8)) }.put(&history, 0).unwrap();
    history.place().delete(&name(&history, 9)).unwrap();
    assert_eq!(reads.header(&segment).unwrap_err().kind(), Kind::Foreign);
    assert_eq!(history.in_line().header(&segment).unwrap().epoch, 8);
}

#[test]
fn a_folder_that_was_put_back_to_before_its_claim_was_held_takes_nothing_back_that_was_put_under_it() {
    for was_put in [false, true] {
        let world = World::new();
        let (history, beside) = (world.history(), world.scratch("b"));
        take(&history, &world.scratch("a"), 8, (42, 7)).unwrap();
        Memory::note(&beside, "1", &Claimed { epoch: 9, nonce: "n9".into(), after: Some((42, 7)) }).unwrap();
        let earlier = Memory::read(&beside);
        take(&history, &beside, 9, (42, 7)).unwrap();
        if was_put {
            put(&history, 43, 9);
        }
        take_back(&history, "1", &earlier, "another").unwrap();
        assert_eq!(world.claims(), if was_put { vec![8, 9] } else { vec![8] });
        take_back(&history, "1", &Memory::read(&beside), "another").unwrap();
    }
}

#[test]
fn one_that_was_left_while_the_place_was_silent_claims_nothing_and_leaves_the_folder_alone() {
    // Left while it lists, and while it remembers.
    for asked in [0u32, 1] {
        let world = World::new();
        let (history, scratch, left) = (world.history(), world.scratch("a"), Cell::new(asked));
        let mine = Claimed { epoch: 8, nonce: "n8".into(), after: Some((42, 7)) };
        let go_on = &|| match left.replace(left.get().saturating_sub(1)) {
            0 => Err(Error::new(Kind::Stopped, "left")),
            _ => Ok(()),
        };
        let taking =
            Taking { history: &history, id: "1", scratch: &scratch, mine: &mine, archived: 42, now_ms: 0, go_on };
        assert_eq!(kind(taking.take(|_| false)), Some(Kind::Stopped));
        assert_eq!((world.claims(), Memory::read(&scratch).has("1")), (vec![], asked == 1));
    }
}
