//! Files against a model: random uploads, crashes, deletions, several at once.

#![allow(clippy::unwrap_used)]

use http::Method;
use monolite_files::*;
use monolite_service::{Error, Refused, seconds};
use monolite_testkit::{App, User, app};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

const PIECE: usize = 64 << 10;

/// The bytes of a file with this seed.
fn bytes(seed: u8, range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed).wrapping_add((n >> 16) as u8)).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn put(user: &User, id: FileId, offset: usize, complete: bool, bytes: Vec<u8>) -> u16 {
    let (offset, complete) = (offset.to_string(), if complete { "?1" } else { "?0" });
    let http = user.http().header("upload-offset", &offset).header("upload-complete", complete);
    http.send(Method::PUT, &format!("/files/{id}/content"), None, bytes).status
}

fn pieces(app: &App) -> i64 {
    let store = app.host().store("Files").unwrap().clone();
    store
        .read_blocking::<_, monolite_store::Error, _>(|s| s.query_row("SELECT count(*) FROM pieces", [], |r| r.get(0)))
        .unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Create,
    /// To the file with this number: so many bytes, from this much too early, and whether they are the last.
    Put(usize, usize, usize, bool),
    Delete(usize),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![Just(0), 1..100_usize, Just(PIECE), 1..3 * PIECE];
    prop_oneof![
        2 => Just(Step::Create),
        8 => (0..4_usize, length, prop_oneof![4 => Just(0), 1 => 1..9_usize], any::<bool>())
            .prop_map(|(file, length, early, last)| Step::Put(file, length, early, last)),
        1 => (0..4_usize).prop_map(Step::Delete),
        1 => Just(Step::Crash),
    ]
}

/// What a file should be.
struct Known {
    seed: u8,
    received: usize,
    complete: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn files_are_what_was_acknowledged_of_them(steps in prop::collection::vec(step(), 1..24)) {
        let app = app([service_with(Config { unfinished_max: 64, ..Config::default() })]);
        let ann = app.user("ann");
        let mut files: BTreeMap<FileId, Known> = BTreeMap::new();
        for (n, step) in steps.into_iter().enumerate() {
            let nth = |files: &BTreeMap<FileId, Known>, n: usize| files.keys().nth(n % files.len().max(1)).copied();
            match step {
                Step::Create => {
                    let file = ann.call(CreateFile::named(format!("{n}"))).unwrap();
                    files.insert(file.id, Known { seed: n as u8, received: 0, complete: false });
                }
                Step::Put(file, length, early, last) => {
                    let Some(id) = nth(&files, file) else { continue };
                    let known = files.get_mut(&id).unwrap();
                    let at = known.received.saturating_sub(early);
                    let status = put(&ann, id, at, last, bytes(known.seed, at..at + length));
                    if known.complete || at != known.received {
                        prop_assert_eq!(status, 409);
                    } else {
                        prop_assert_eq!(status, 200);
                        (known.received, known.complete) = (at + length, last);
                    }
                }
                Step::Delete(file) => {
                    let Some(id) = nth(&files, file) else { continue };
                    ann.call(DeleteFile { id }).unwrap();
                    files.remove(&id);
                }
                Step::Crash => app.kill_and_restart(),
            }
        }
        app.advance(seconds(2));
        let mut expected = 0;
        for (id, known) in &files {
            let file = ann.call(FileById { id: *id }).unwrap();
            prop_assert_eq!((file.received, file.complete), (known.received as u64, known.complete));
            expected += known.received.div_ceil(PIECE);
            if known.complete {
                let content = bytes(known.seed, 0..known.received);
                let got = ann.http().get(&format!("/files/{id}/content"));
                prop_assert_eq!(&got.body[..], &content[..]);
                prop_assert_eq!(file.sha256.unwrap(), sha256(&content));
            }
        }
        prop_assert_eq!(pieces(&app), expected as i64, "no piece is lost, and none is left of what is gone");
    }
}

#[test]
fn of_two_who_send_the_same_file_one_is_told_so_and_the_content_is_one_of_theirs() {
    let app = app([service()]);
    let ann = app.user("ann");
    for round in 0..8_u8 {
        let id = ann.call(CreateFile::named("x")).unwrap().id;
        let contents = [round, round + 100].map(|seed| bytes(seed, 0..5 * PIECE + 11));
        let outcomes = std::thread::scope(|scope| {
            let senders = contents.clone().map(|content| {
                let ann = ann.clone();
                scope.spawn(move || ann.upload(PutContent::of(id), content))
            });
            senders.map(|sender| sender.join().unwrap())
        });
        let file = ann.call(FileById { id }).unwrap();
        // One went on to the end, or each stood in the other's way: never both.
        let wins = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!(wins <= 1 && file.complete == (wins == 1), "{outcomes:?}");
        for (outcome, content) in outcomes.iter().zip(&contents) {
            match outcome {
                Ok(file) => assert_eq!(file.sha256, Some(sha256(content))),
                Err(Error::Refused(Refused::Conflict { code })) => {
                    assert!(["other_upload_offset", "upload_complete"].contains(&code.as_str()), "{code}");
                }
                Err(other) => panic!("{other}"),
            }
        }
        if file.complete {
            let got = ann.http().get(&format!("/files/{id}/content"));
            assert_eq!(Some(sha256(&got.body)), file.sha256);
        }
        ann.call(DeleteFile { id }).unwrap();
    }
}

#[test]
fn what_was_deleted_before_a_crash_goes_after_it() {
    let app = app([service()]);
    let ann = app.user("ann");
    let id = ann.call(CreateFile::named("x")).unwrap().id;
    ann.upload(PutContent::of(id), bytes(1, 0..40 * PIECE)).unwrap();
    ann.call(DeleteFile { id }).unwrap();
    assert_eq!(pieces(&app), 40);
    app.kill_and_restart();
    app.advance(seconds(2));
    assert_eq!(pieces(&app), 0);
}
