//! Touches: seen in memory, written behind.

use super::*;
use crate::implementation::write_touches::{TouchSessions, WriteTouches};
use monolite_service::{Failure, hours, seconds};

fn sequence(w: &World) -> u64 {
    w.app.host().store("UserSessions").unwrap().sequence()
}

#[test]
fn many_requests_of_many_sessions_are_one_write_and_none_without_requests() {
    let w = World::new();
    let ann = w.create("ann", Role::Member);
    let all: Vec<_> = (0..5).map(|_| w.sign_in(&ann)).collect();
    w.app.host().call_blocking(&Caller::system(), WriteTouches {}).unwrap();
    let (began, before) = (w.now(), sequence(&w));
    w.app.advance(seconds(10)); // the background runs, and has nothing to write
    assert_eq!(sequence(&w), before);
    for _ in 0..20 {
        assert!(all.iter().all(|s| w.holds(s)));
    }
    assert_eq!(sequence(&w), before, "no request writes");
    assert_eq!(w.last_seen(&all[0].session), began);
    w.write_touches();
    assert_eq!(sequence(&w), before + 1);
    assert!(all.iter().all(|s| w.last_seen(&s.session) == began + seconds(10)));
    w.write_touches();
    assert_eq!(sequence(&w), before + 1);
}

#[test]
fn the_background_writes_them_by_itself() {
    let w = World::new();
    let signed_in = w.sign_in(&w.create("ann", Role::Member));
    w.app.advance(seconds(5));
    let seen = w.now();
    assert!(w.holds(&signed_in));
    w.app.advance(seconds(2));
    assert_eq!(w.last_seen(&signed_in.session), seen);
}

#[test]
fn a_busy_session_is_touched_once_a_second_at_most() {
    let w = World::new();
    let signed_in = w.sign_in(&w.create("ann", Role::Member));
    let began = w.now();
    w.app.advance(std::time::Duration::from_millis(999));
    assert!(w.holds(&signed_in));
    w.write_touches();
    assert_eq!(w.last_seen(&signed_in.session), began);
}

#[test]
fn what_could_not_be_written_is_written_later() {
    let w = World::new();
    let signed_in = w.sign_in(&w.create("ann", Role::Member));
    w.app.advance(seconds(5));
    let seen = w.now();
    assert!(w.holds(&signed_in));
    let host = w.app.host();
    let refuse = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(2));
    let left = refuse.clone();
    host.answer_for(move |_, _: TouchSessions| {
        left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        Err(Failure::internal("the disk is full").into())
    });
    for _ in 0..2 {
        assert!(w.sys(WriteTouches {}).is_err());
    }
    assert_eq!(refuse.load(std::sync::atomic::Ordering::Relaxed), 0, "it was tried again");
    let sent = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let got = sent.clone();
    host.answer_for(move |_, m: TouchSessions| {
        got.lock().unwrap().extend(m.touches.iter().map(|(_, at)| *at));
        Ok(())
    });
    w.write_touches();
    assert_eq!(*sent.lock().unwrap(), [seen]);
}

#[test]
fn a_crowd_is_written_in_several_writes_and_a_failure_keeps_the_rest() {
    let w = World::new();
    for _ in 0..1_100 {
        w.touches.note(crate::Token::random().unwrap().hash(), Millis(1));
    }
    let sizes = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let got = sizes.clone();
    w.app.answer_for(move |_, m: TouchSessions| {
        let mut sizes = got.lock().unwrap();
        sizes.push(m.touches.len());
        if sizes.len() == 2 { Err(Failure::internal("the disk is full").into()) } else { Ok(()) }
    });
    assert!(w.sys(WriteTouches {}).is_err());
    w.write_touches();
    assert_eq!(*sizes.lock().unwrap(), [512, 512, 512, 76]);
    assert_eq!(w.touches.take(), []);
}

#[test]
fn a_touch_brings_no_ended_session_back() {
    let w = World::new();
    let signed_in = w.sign_in(&w.create("ann", Role::Member));
    w.app.advance(seconds(5));
    let me = w.recognise(signed_in.token.expose()).unwrap();
    w.call(&me, crate::EndCurrentSession {}).unwrap();
    w.write_touches();
    assert!(!w.holds(&signed_in));
    assert_eq!(w.rows(), []);
}

#[test]
fn a_late_touch_does_not_move_the_time_back() {
    let w = World::new();
    let signed_in = w.sign_in(&w.create("ann", Role::Member));
    let began = w.now();
    let token = crate::TokenHash::of(signed_in.token.expose()).unwrap();
    w.app.advance(hours(1));
    w.sys(TouchSessions { touches: vec![(token, w.now()), (token, began + seconds(1))] }).unwrap();
    assert_eq!(w.last_seen(&signed_in.session), began + hours(1));
}

/// What the crate's page says of a crash: the touches since the last write, and nothing else.
#[test]
fn a_crash_loses_the_touches_since_the_last_write_and_nothing_else() {
    let w = World::new();
    let signed_in = w.sign_in(&w.create("ann", Role::Member));
    w.app.advance(seconds(5));
    assert!(w.holds(&signed_in));
    w.write_touches();
    let written = w.last_seen(&signed_in.session);
    w.app.advance(seconds(5));
    assert!(w.holds(&signed_in));
    assert_eq!(w.touches.take().len(), 1, "in memory only");
    w.app.kill_and_restart();
    assert_eq!(w.last_seen(&signed_in.session), written);
    assert!(w.holds(&signed_in));
}
