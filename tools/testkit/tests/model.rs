//! The service model and the engine together, on real files.
#![allow(missing_docs)]

mod notes;

use monolite_runtime::{Assembly, BackgroundMode, StartError, block_on};
use monolite_service::*;
use monolite_testkit::app;
use notes::*;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

fn add(title: &str) -> AddNote {
    AddNote { title: title.into() }
}

#[track_caller]
fn failure<T: std::fmt::Debug, R: std::fmt::Debug>(outcome: Result<T, Error<R>>) -> FailureKind {
    match outcome {
        Err(Error::Failed(failure)) => failure.kind(),
        other => panic!("not a failure: {other:?}"),
    }
}

#[track_caller]
fn refusal<T: std::fmt::Debug, R: std::fmt::Debug>(outcome: Result<T, Error<R>>) -> R {
    match outcome {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not a refusal: {other:?}"),
    }
}

#[test]
fn what_was_written_is_read_and_survives_a_kill() {
    let app = app([service()]);
    let ann = app.user("ann");
    let id = ann.call(add("tea")).unwrap();
    app.kill_and_restart();
    let note = ann.call(NoteById { id }).unwrap();
    assert_eq!(note, Note { id, title: "tea".into(), at: app.now(), version: 1 });
    app.restart();
    assert_eq!(ann.call(NoteById { id }).unwrap().title, "tea");
}

#[test]
fn ids_and_time_are_the_same_in_each_run() {
    let run = || {
        let app = app([service()]);
        let first = app.user("ann").call(add("a")).unwrap();
        app.advance(hours(1));
        let second = app.user("ann").call(add("b")).unwrap();
        assert!(first < second);
        (app.user("ann").id(), first, second, app.user("ann").call(NoteById { id: second }).unwrap().at)
    };
    assert_eq!(run(), run());
}

#[test]
fn constraints_become_the_services_refusals() {
    let app = app([service()]);
    let ann = app.user("ann");
    let id = ann.call(add("tea")).unwrap();
    assert_eq!(refusal(ann.call(add("tea"))).code(), "title_taken");
    assert_eq!(refusal(ann.call(add("bad"))), Refused::invalid("title", "is bad"));
    app.user("bob").call(add("tea")).unwrap();
    let tag = |id| Tag { id, tag: "hot".into() };
    ann.call(tag(id)).unwrap();
    assert_eq!(refusal(ann.call(tag(id))), NoTag::TaggedAlready { tag: "hot".into() });
    assert_eq!(refusal(ann.call(tag(Uuid::nil()))), NoTag::NoNote);
    let both = refusal(ann.call(TagBoth { id, tag: "hot".into() }));
    assert_eq!((both.code().as_ref(), both.kind()), ("tagged_already", RefusalKind::Conflict));
    ann.call(TagBoth { id, tag: "cold".into() }).expect("the refused write left nothing behind");
}

#[test]
fn a_wrong_message_is_answered_before_the_queue() {
    let app = app([service()]);
    let before = app.host().store("Notes").unwrap().sequence();
    let Err(Error::Failed(wrong)) = app.user("ann").call(add("")) else { panic!("an empty title passed") };
    assert_eq!((wrong.kind(), wrong.fields()[0].field.as_str()), (FailureKind::Invalid, "title"));
    assert_eq!(app.host().store("Notes").unwrap().sequence(), before);
    assert_eq!(failure(app.anonymous().call(add("tea"))), FailureKind::Unauthenticated);
}

#[test]
fn pages_follow_each_other_whatever_happens_between() {
    let app = app([service()]);
    let ann = app.user("ann");
    for n in 0..25 {
        ann.call(add(&format!("n{n:02}"))).unwrap();
        app.advance(millis(n % 3)); // some have the same time
    }
    app.user("bob").call(add("n00")).unwrap();
    let mut titles = Vec::new();
    let mut page = PageOf::first(10);
    loop {
        let got = ann.call(Notes { prefix: Some("n".into()), page: page.clone() }).unwrap();
        titles.extend(got.items.into_iter().map(|n| n.title));
        let Some(next) = got.next else { break };
        ann.call(add(&format!("a{}", titles.len()))).unwrap(); // before the cursor: not seen, nothing shifts
        page = page.after(next);
    }
    assert_eq!(titles, (0..25).map(|n| format!("n{n:02}")).collect::<Vec<_>>());

    let all = ann.call(NotesByAge { page: PageOf::first(200) }).unwrap().items;
    let mut paged = Vec::new();
    let mut page = PageOf::first(7);
    while let Some(next) = {
        let got = ann.call(NotesByAge { page: page.clone() }).unwrap();
        paged.extend(got.items);
        got.next
    } {
        page = page.after(next);
    }
    assert_eq!(paged, all);
    assert!(paged.windows(2).all(|w| (w[1].at, w[0].id) < (w[0].at, w[1].id)), "newest first, then by id");
}

#[test]
fn cursors_of_other_lists_are_refused() {
    let app = app([service()]);
    let ann = app.user("ann");
    for title in ["a", "b"] {
        ann.call(add(title)).unwrap();
    }
    let next = ann.call(NotesByAge { page: PageOf::first(1) }).unwrap().next.unwrap();
    for cursor in [next.as_str(), "", "x", "AAAA", "'; DROP TABLE notes; --"] {
        let page = PageOf::first(1).after(cursor);
        let Err(Error::Failed(wrong)) = ann.call(Notes { prefix: None, page }) else { panic!("{cursor} passed") };
        assert_eq!((wrong.kind(), wrong.fields()[0].field.as_str()), (FailureKind::Invalid, "cursor"));
    }
}

#[test]
fn a_panic_fails_its_own_call_only() {
    let app = app([service()]);
    let ann = app.user("ann");
    assert_eq!(failure(ann.call(Panic { in_write: true })), FailureKind::Panicked);
    assert_eq!(failure(ann.call(PanicInRead {})), FailureKind::Panicked);
    assert_eq!(failure(ann.call(PanicInFlow {})), FailureKind::Panicked);
    assert_eq!(failure(ann.call(PanicInCheck {})), FailureKind::Panicked);
    assert_eq!(ann.call(Ticks {}).unwrap(), 0);
    ann.call(Tick {}).unwrap();
    assert_eq!(ann.call(Ticks {}).unwrap(), 1);
}

#[test]
fn a_bug_in_sql_is_internal_and_says_so_to_logs_only() {
    let app = app([service()]);
    let Err(Error::Failed(bug)) = app.user("ann").call(Broken {}) else { panic!("broken SQL passed") };
    assert_eq!(bug.kind(), FailureKind::Internal);
    assert!(bug.to_string().contains("nothing") && !bug.detail().contains("nothing"));
}

#[test]
fn flows_call_on_behalf_of_their_caller_and_end_by_their_deadline() {
    let app = app([service()]);
    let ann = app.user("ann");
    let ids = ann.call(AddTwo { first: "a".into(), second: "b".into() }).unwrap();
    assert_eq!(ann.call(NoteById { id: ids[1] }).unwrap().title, "b");
    let refused = refusal(ann.call(AddTwo { first: "c".into(), second: "a".into() }));
    assert_eq!(refused, Refused::conflict("title_taken"));
    let began = Instant::now();
    assert_eq!(failure(ann.call(Forever {})), FailureKind::Late);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(50) && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_callers_deadline_holds_for_reads_writes_and_flows() {
    let app = app([service()]);
    let host = app.host();
    let soon = || app.user("ann").caller().clone().with_deadline(Instant::now() + Duration::from_millis(30));
    let began = Instant::now();
    assert_eq!(failure(host.call_blocking(&soon(), SlowRead { n: 1_000_000_000 })), FailureKind::TooLong);
    assert_eq!(failure(host.call_blocking(&soon(), Stall { ms: 60_000 })), FailureKind::Late);
    assert_eq!(failure(host.call_blocking(&soon(), Forever {})), FailureKind::Late);
    assert!(began.elapsed() < Duration::from_secs(5));
    let past = app.user("ann").caller().clone().with_deadline(Instant::now());
    assert_eq!(failure(host.call_blocking(&past, add("late"))), FailureKind::Late);
    app.user("ann").call(add("late")).expect("nothing was kept of the late one");
}

/// Polls once, as an async runtime would before it turns to something else.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Nobody has more waiting than there are places left.
const ONE_TENANT: usize = QUEUE_MAX / 2;

#[test]
fn one_more_than_the_queue_holds_is_overloaded_and_what_nobody_waits_for_is_not_done() {
    let app = app([service()]);
    let (host, ann) = (app.host(), app.user("ann"));
    let mut stall = Box::pin(host.call(ann.caller(), Stall { ms: 300 }));
    assert!(poll_once(&mut stall).is_pending());
    while host.health()[0].status.holder.is_none() {
        std::thread::yield_now();
    }
    let mut waiting: Vec<_> =
        (0..ONE_TENANT).map(|n| Box::pin(host.call(ann.caller(), add(&format!("n{n}"))))).collect();
    assert!(waiting.iter_mut().all(|call| poll_once(call).is_pending()));
    let mut one_more = Box::pin(host.call(ann.caller(), add("one more")));
    match poll_once(&mut one_more) {
        Poll::Ready(Err(Error::Failed(no))) => {
            assert_eq!(no.kind(), FailureKind::Overloaded);
            assert!(no.retry_after().is_some());
        }
        other => panic!("{other:?}"),
    }
    let kept = waiting.pop().unwrap();
    drop(waiting);
    block_on(stall).unwrap();
    block_on(kept).unwrap();
    let titles: Vec<_> = ann.call(NotesByAge { page: PageOf::default() }).unwrap().items;
    assert_eq!(titles.iter().map(|n| n.title.as_str()).collect::<Vec<_>>(), [format!("n{}", ONE_TENANT - 1)]);
}

#[test]
fn background_work_runs_when_its_time_comes() {
    let app = app([service()]);
    app.advance(seconds(59));
    assert_eq!(app.system().call(Ticks {}).unwrap(), 0);
    app.advance(seconds(1));
    assert_eq!(app.system().call(Ticks {}).unwrap(), 1);
    app.advance(hours(1)); // what was missed is not made up for
    assert_eq!(app.system().call(Ticks {}).unwrap(), 2);
}

#[test]
fn a_host_does_background_work_by_itself() {
    let folder = tempfile::TempDir::new().unwrap();
    let service = service().every(millis(5), Tick {});
    let host = Assembly::new(folder.path()).service(service).open().unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while host.call_blocking(&host.system(), Ticks {}).unwrap() < 3 {
        assert!(Instant::now() < until, "no background work in ten seconds");
        std::thread::yield_now();
    }
    host.shutdown().unwrap();
    assert_eq!(failure(host.call_blocking(&host.system(), Tick {})), FailureKind::Closed);
}

#[test]
fn another_services_answers_can_be_given_by_the_test() {
    let app = app([service()]);
    app.answer_for(|caller, m: AddNote| match m.title.as_str() {
        "no" => Err(Refused::conflict("said_no").into()),
        _ => Ok(caller.user().unwrap().0),
    });
    let ann = app.user("ann");
    for _ in 0..2 {
        let ids = ann.call(AddTwo { first: "a".into(), second: "b".into() }).unwrap();
        assert_eq!(ids, [ann.id().0, ann.id().0]);
        assert_eq!(refusal(ann.call(AddTwo { first: "a".into(), second: "no".into() })), Refused::conflict("said_no"));
        app.kill_and_restart(); // it stays
    }
}

#[test]
fn replies_tell_their_commit_and_tallies_count() {
    let app = app([service()]);
    let ann = app.user("ann");
    let written = ann.call_seen(add("a")).unwrap();
    let read = ann.call_seen(NoteById { id: written.value }).unwrap();
    assert_eq!(written.commit, read.commit);
    let (host, tally) = app.host().tallied();
    let two = AddTwo { first: "b".into(), second: "c".into() };
    block_on(host.call(ann.caller(), two)).unwrap();
    block_on(host.call(ann.caller(), Ticks {})).unwrap();
    assert_eq!(tally.statements(), 3);
    assert!(tally.db() > Duration::ZERO);
    let counts = app.host().counts();
    let of = |name: &str| counts.iter().find(|c| c.message == name).unwrap();
    assert_eq!((of("Notes.AddNote").calls, of("Notes.AddNote").failed), (3, 0));
    assert_eq!(of("Notes.AddTwo").service, "Notes");
}

#[test]
fn an_unknown_message_has_no_service() {
    let app = app([]);
    assert_eq!(failure(app.user("ann").call(add("a"))), FailureKind::Unavailable);
}

#[test]
fn a_statement_that_does_not_prepare_stops_the_start() {
    let folder = tempfile::TempDir::new().unwrap();
    let service = service().statements(&["SELECT nothing FROM notes"]);
    let assembly = Assembly::new(folder.path()).service(service).background(BackgroundMode::Off);
    match assembly.open() {
        Err(StartError::Statement { service: "Notes", sql, .. }) => assert!(sql.contains("nothing")),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    }
}

#[test]
fn the_kit_knows_which_statements_a_start_cannot_check() {
    let app = app([service()]);
    app.system().call(Ticks {}).unwrap(); // registered
    app.user("ann").call(NotesByAge { page: PageOf::default() }).unwrap(); // made from parts
    assert_eq!(app.unregistered_statements(), []);
    app.system().call(Tick {}).unwrap();
    assert_eq!(app.unregistered_statements(), [("Notes", "UPDATE ticks SET n = n + 1".to_owned())]);
}

#[test]
fn a_folder_in_use_is_refused_and_free_after_shutdown() {
    let folder = tempfile::TempDir::new().unwrap();
    let open = || Assembly::new(folder.path()).service(service()).background(BackgroundMode::Off).open();
    let host = open().unwrap();
    assert!(matches!(open(), Err(StartError::Store { .. })));
    host.shutdown().unwrap();
    open().unwrap();
}

#[test]
fn handlers_capture_state() {
    let app = app([service()]);
    assert_eq!(app.system().call(Runs {}).unwrap(), 1);
    assert_eq!(app.system().call(Runs {}).unwrap(), 2);
}
