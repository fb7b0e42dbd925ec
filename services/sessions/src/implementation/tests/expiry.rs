//! Sessions that end by the clock.

use super::*;
use crate::ListSessions;
use crate::implementation::prune_sessions::PruneSessions;
use monolite_service::{hours, minutes, seconds};

fn config() -> Config {
    Config { idle_seconds: 3_600, absolute_seconds: 6 * 3_600, ..Config::default() }
}

#[test]
fn a_session_ends_when_it_was_idle_too_long_and_not_a_moment_before() {
    let w = World::with(config());
    let signed_in = w.sign_in(&w.create("ann", Role::Member));
    w.app.advance(hours(1) - seconds(1));
    assert!(w.holds(&signed_in));
    w.write_touches();
    w.app.advance(hours(1) - seconds(1));
    assert!(w.holds(&signed_in), "its use counts");
    w.write_touches();
    w.app.advance(hours(1));
    assert!(!w.holds(&signed_in));
    assert!(!w.holds(&signed_in), "asking does not bring it back");
}

#[test]
fn a_session_in_use_ends_at_its_absolute_end() {
    let w = World::with(config());
    let signed_in = w.sign_in(&w.create("ann", Role::Member));
    assert_eq!(signed_in.session.expires_at, w.now() + hours(6));
    for _ in 0..11 {
        w.app.advance(minutes(30));
        assert!(w.holds(&signed_in));
        w.write_touches();
    }
    w.app.advance(minutes(30) - seconds(1));
    let me = w.recognise(signed_in.token.expose()).unwrap();
    w.app.advance(seconds(1));
    assert!(!w.holds(&signed_in));
    assert_eq!(w.call(&me, ListSessions::default()).unwrap().items, []);
}

#[test]
fn a_touch_that_waits_to_be_written_keeps_a_session_from_idling() {
    let w = World::with(config());
    let signed_in = w.sign_in(&w.create("ann", Role::Member));
    w.app.advance(minutes(59));
    assert!(w.holds(&signed_in));
    // As on a full disk: the touch stays in memory, the file says "idle for 100 minutes".
    let host = w.app.host();
    host.answer_for(|_, _: super::super::write_touches::TouchSessions| {
        Err(monolite_service::Failure::internal("full").into())
    });
    assert!(w.sys(super::super::write_touches::WriteTouches {}).is_err());
    w.app.advance(minutes(41));
    for _ in 0..4 {
        w.sys(PruneSessions {}).unwrap(); // all round the table
    }
    assert!(w.holds(&signed_in));
}

#[test]
fn expired_sessions_are_removed_in_bounded_batches_and_others_stay() {
    let w = World::with(Config { per_user_max: 2_000, ..config() });
    let (ann, bob) = (w.create("ann", Role::Member), w.create("bob", Role::Member));
    w.app
        .host()
        .store("UserSessions")
        .unwrap()
        .write_blocking(move |tx| -> Result<(), monolite_service::Failure> {
            let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) \
             INSERT INTO sessions SELECT randomblob(32), randomblob(16), ?1, 1, 0, 0, 0 FROM n";
            tx.execute(insert, monolite_service::params![bob.id])?;
            Ok(())
        })
        .unwrap();
    let kept = w.sign_in(&ann);
    assert_eq!(w.rows().len(), 1_201);
    let mut left = vec![1_201];
    while *left.last().unwrap() > 1 {
        w.sys(PruneSessions {}).unwrap();
        left.push(w.rows().len());
        assert!(left.len() < 9, "{left:?}");
    }
    assert!(left.windows(2).all(|pair| pair[0] - pair[1] <= 512), "{left:?}");
    assert!(w.holds(&kept));
    w.app.advance(hours(2));
    for _ in 0..2 {
        w.sys(PruneSessions {}).unwrap(); // to the end of the table, and round again
    }
    assert_eq!(w.rows(), []);
    assert!(!w.holds(&kept));
}

#[test]
fn the_background_prunes_by_itself() {
    let w = World::with(config());
    w.sign_in(&w.create("ann", Role::Member));
    w.app.advance(hours(2));
    w.app.advance(minutes(1));
    w.app.advance(minutes(1));
    assert_eq!(w.rows(), []);
}
