//! Ending sessions.

use super::*;
use crate::{CurrentSession, EndCurrentSession, EndSession, EndSessions, ListSessions};

#[test]
fn signing_out_ends_this_session_and_no_other() {
    let w = World::new();
    let ann = w.create("ann", Role::Member);
    let (one, two) = (w.sign_in(&ann), w.sign_in(&ann));
    let me = w.recognise(one.token.expose()).unwrap();
    w.call(&me, EndCurrentSession {}).unwrap();
    assert!(!w.holds(&one) && w.holds(&two));
    w.call(&me, EndCurrentSession {}).expect("a request that crossed the first");
    assert_eq!(code(w.call(&me, CurrentSession {})), "session_not_found");
}

#[test]
fn one_of_ones_own_sessions_is_ended_by_id_and_somebody_elses_is_not_found() {
    let w = World::new();
    let (ann, bob) = (w.create("ann", Role::Member), w.create("bob", Role::Member));
    let (here, there, bobs) = (w.sign_in(&ann), w.sign_in(&ann), w.sign_in(&bob));
    let me = w.recognise(here.token.expose()).unwrap();
    w.call(&me, EndSession { id: there.session.id }).unwrap();
    assert!(w.holds(&here) && !w.holds(&there));
    assert_eq!(code(w.call(&me, EndSession { id: there.session.id })), "session_not_found");
    assert_eq!(code(w.call(&me, EndSession { id: bobs.session.id })), "session_not_found");
    assert_eq!(code(w.call(&me, EndSession { id: Uuid::nil() })), "session_not_found");
    assert!(w.call(&Caller::anonymous(None), EndSession { id: bobs.session.id }).is_err());
    assert!(w.holds(&bobs));
    let root = w.sign_in(&w.create("root", Role::Admin));
    let admin = w.recognise(root.token.expose()).unwrap();
    w.call(&admin, EndSession { id: bobs.session.id }).unwrap();
    assert!(!w.holds(&bobs));
}

#[test]
fn signing_out_everywhere_ends_all_of_ones_own_sessions() {
    let w = World::new();
    let (ann, bob) = (w.create("ann", Role::Member), w.create("bob", Role::Member));
    let (one, two, other) = (w.sign_in(&ann), w.sign_in(&ann), w.sign_in(&bob));
    w.call(&w.recognise(one.token.expose()).unwrap(), EndSessions {}).unwrap();
    assert!(!w.holds(&one) && !w.holds(&two) && w.holds(&other));
    assert!(w.call(&Caller::anonymous(None), EndSessions {}).is_err());
}

#[test]
fn when_one_too_many_begins_the_longest_unused_ends() {
    let w = World::with(Config { per_user_max: 3, ..Config::default() });
    let (ann, bob) = (w.create("ann", Role::Member), w.create("bob", Role::Member));
    let other = w.sign_in(&bob);
    let all: Vec<_> = (0..3).map(|_| w.sign_in(&ann)).collect();
    w.app.advance(monolite_service::minutes(1));
    assert!(w.holds(&all[0]));
    w.write_touches();
    let one_more = w.sign_in(&ann);
    let hold: Vec<bool> = all.iter().map(|s| w.holds(s)).collect();
    assert_eq!(hold, [true, false, true]);
    assert!(w.holds(&one_more) && w.holds(&other));
    let me = w.recognise(one_more.token.expose()).unwrap();
    let listed: Vec<_> = w.call(&me, ListSessions::default()).unwrap().items.iter().map(|s| s.id).collect();
    assert_eq!(listed, [&all[0], &all[2], &one_more].map(|s| s.session.id));
}

#[test]
fn signing_in_removes_what_an_older_password_began() {
    let w = World::new();
    let ann = w.create("ann", Role::Member);
    w.sign_in(&ann);
    let change = monolite_users::ChangePassword { id: ann.id, old_password: None, new_password: PASSWORD.into() };
    w.sys(change).unwrap();
    let again = w.sign_in(&ann);
    assert_eq!(w.rows().iter().map(|row| row.0).collect::<Vec<_>>(), [again.session.id]);
}
