//! Signing in, and what a token grants.

use super::*;
use crate::{CurrentSession, ListSessions};
use monolite_users::{ChangePassword, ChangeUser, DisableUser, EnableUser};

#[test]
fn a_token_grants_its_user_their_role_and_its_session() {
    let w = World::new();
    let (ann, root) = (w.create("ann", Role::Member), w.create("root", Role::Admin));
    let (ann_in, root_in) = (w.sign_in(&ann), w.sign_in(&root));
    assert_eq!((ann_in.user, ann_in.session.user_id), (ann.clone(), ann.id));
    let caller = w.recognise(ann_in.token.expose()).unwrap();
    assert_eq!((caller.user(), caller.session()), (Some(ann.id), Some(ann_in.session.id)));
    assert!(caller.has_role("member") && !caller.has_role("admin"));
    assert!(w.recognise(root_in.token.expose()).unwrap().has_role("admin"));
    assert_eq!(w.call(&caller, CurrentSession {}).unwrap(), ann_in.session);
    assert_eq!(w.call(&caller, ListSessions::default()).unwrap().items, [ann_in.session]);
}

#[test]
fn no_token_is_nobody_and_keeps_the_address() {
    let w = World::new();
    let address = "192.0.2.7".parse().ok();
    let who = |credentials: Credentials| w.authenticate(&w.app.host(), &credentials).unwrap();
    let nobody = who(Credentials { bearer: None, address });
    assert_eq!((nobody.user(), nobody.address(), nobody.is_system()), (None, address, false));
    let token = w.sign_in(&w.create("ann", Role::Member)).token;
    let ann = who(Credentials { bearer: Some(token.expose().into()), address });
    assert!(ann.user().is_some() && ann.address() == address && !ann.is_system());
}

#[test]
fn wrong_credentials_begin_no_session() {
    let w = World::new();
    w.create("ann", Role::Member);
    let sign_in = |email: &str, password: &str| w.sys(SignIn { email: email.into(), password: password.into() });
    assert_eq!(code(sign_in("ann@example.com", "incorrect horse")), "wrong_credentials");
    assert_eq!(code(sign_in("bob@example.com", PASSWORD)), "wrong_credentials");
    assert_eq!(code(sign_in("", "")), "wrong_credentials");
    assert!(sign_in("ann@example.com", &"x".repeat(1 << 20)).unwrap_err().failure().is_some());
    assert_eq!(w.rows(), []);
}

#[test]
fn authenticating_takes_two_reads_and_no_write() {
    let w = World::new();
    let signed_in = w.sign_in(&w.create("ann", Role::Member));
    let (host, tally) = w.app.host().tallied();
    let sequences = |w: &World| ["Users", "UserSessions"].map(|s| w.app.host().store(s).unwrap().sequence());
    let before = sequences(&w);
    let credentials = Credentials { bearer: Some(signed_in.token.expose().into()), address: None };
    w.authenticate(&host, &credentials).unwrap();
    assert_eq!(tally.statements(), 2);
    assert_eq!(sequences(&w), before);
}

#[test]
fn a_disabled_users_sessions_end_at_once_and_stay_ended() {
    let w = World::new();
    let (ann, bob) = (w.create("ann", Role::Member), w.create("bob", Role::Member));
    let (one, two, other) = (w.sign_in(&ann), w.sign_in(&ann), w.sign_in(&bob));
    assert!(w.holds(&one) && w.holds(&two));
    w.sys(DisableUser { id: ann.id }).unwrap();
    assert!(!w.holds(&one) && !w.holds(&two) && w.holds(&other));
    let again = SignIn { email: ann.email.clone(), password: PASSWORD.into() };
    assert_eq!(code(w.sys(again)), "wrong_credentials");
    w.sys(EnableUser { id: ann.id }).unwrap();
    assert!(!w.holds(&one), "enabling brings no session back");
    assert!(w.holds(&w.sign_in(&ann)));
}

#[test]
fn a_changed_password_ends_all_sessions_of_the_user_at_once() {
    let w = World::new();
    let (ann, bob) = (w.create("ann", Role::Member), w.create("bob", Role::Member));
    let (one, two, other) = (w.sign_in(&ann), w.sign_in(&ann), w.sign_in(&bob));
    let me = w.recognise(one.token.expose()).unwrap();
    let change =
        |new: &str| ChangePassword { id: ann.id, old_password: Some(PASSWORD.into()), new_password: new.into() };
    assert!(w.call(&me, change("short")).is_err());
    assert!(w.holds(&one), "a refused change ends nothing");
    w.call(&me, change("another long one")).unwrap();
    assert!(!w.holds(&one) && !w.holds(&two) && w.holds(&other));
}

#[test]
fn a_changed_role_ends_the_sessions_so_that_no_old_role_is_in_use() {
    let w = World::new();
    w.create("root", Role::Admin);
    let boss = w.create("boss", Role::Admin);
    let signed_in = w.sign_in(&boss);
    w.sys(ChangeUser { id: boss.id, name: Some("Boss".into()), role: None, if_match: None }).unwrap();
    assert!(w.holds(&signed_in), "a name is no credential");
    w.sys(ChangeUser { id: boss.id, name: None, role: Some(Role::Member), if_match: None }).unwrap();
    assert!(!w.holds(&signed_in));
    let again = w.sign_in(&boss);
    assert!(!w.recognise(again.token.expose()).unwrap().has_role("admin"));
}

#[test]
fn sessions_survive_a_crash() {
    let w = World::new();
    let signed_in = w.sign_in(&w.create("ann", Role::Member));
    w.app.kill_and_restart();
    assert!(w.holds(&signed_in));
}
