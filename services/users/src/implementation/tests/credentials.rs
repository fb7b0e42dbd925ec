//! Passwords, and what raises the version of credentials.

use super::*;
use crate::implementation::change_password::ReplacePassword;
use crate::implementation::credentials::CredentialsByEmail;
use crate::implementation::verify_password::RenewHash;
use crate::{
    Account, AccountState, ChangePassword, ChangeUser, DisableUser, EnableUser, VerifyPassword, WrongCredentials,
};
use monolite_service::{Bucket, FailureKind};
use std::time::Duration;

fn verify(email: &str, password: &str) -> VerifyPassword {
    VerifyPassword { email: email.into(), password: password.into() }
}

fn account(w: &World, id: UserId) -> Account {
    w.sys(AccountState { id }).unwrap().unwrap()
}

#[test]
fn the_right_password_verifies_in_whatever_case_of_the_address() {
    let w = World::new();
    let ann = w.create("ann@example.com", Role::Member);
    let verified = w.sys(verify("ANN@example.com", PASSWORD)).unwrap();
    assert_eq!((verified.user, verified.credentials_version), (ann, 1));
}

/// Time is measured in hashes, since nothing else in the flow takes as long as a thousandth of one: whoever waits for
/// the refusal waits for exactly one hash at the same cost, on the same pool.
#[test]
fn unknown_address_wrong_password_and_disabled_user_are_one_refusal_after_one_hash_each() {
    let w = World::new();
    w.create("ann@example.com", Role::Member);
    let gone = w.create("gone@example.com", Role::Member);
    w.sys(DisableUser { id: gone.id }).unwrap();
    let long = format!("{}@example.com", "a".repeat(300));
    let tries = [
        ("ann@example.com", "incorrect horse"),
        ("nobody@example.com", PASSWORD),
        ("gone@example.com", PASSWORD),
        ("gone@example.com", "incorrect horse"),
        ("ann@example.com", ""),
        ("", ""),
        ("not an address", PASSWORD),
        (&long, PASSWORD),
    ];
    let mut refusals = Vec::new();
    for (email, password) in tries {
        let before = w.passwords.verified();
        let error = w.sys(verify(email, password)).unwrap_err();
        assert_eq!(w.passwords.verified() - before, 1, "{email:?}");
        assert_eq!(error.refusal(), Some(&WrongCredentials), "{email:?}");
        refusals.push(error.to_string());
    }
    refusals.dedup();
    assert_eq!(refusals, ["the address or the password is wrong (wrong_credentials)"]);
    let before = w.passwords.verified();
    w.sys(verify("ann@example.com", PASSWORD)).unwrap();
    assert_eq!(w.passwords.verified() - before, 1, "the right one costs the same");
}

#[test]
fn disabling_a_changed_password_and_a_changed_role_raise_the_version_and_nothing_else_does() {
    let w = World::new();
    w.create("root@example.com", Role::Admin);
    let id = w.create("ann@example.com", Role::Member).id;
    let version = || account(&w, id).credentials_version;
    let change = |name: Option<&str>, role| {
        w.sys(ChangeUser { id, name: name.map(Into::into), role, if_match: None }).unwrap();
        version()
    };
    assert_eq!(version(), 1);
    assert_eq!(change(Some("Ann"), None), 1);
    assert_eq!(change(None, Some(Role::Member)), 1, "the role she had");
    let admin = change(None, Some(Role::Admin));
    assert!(admin > 1);
    assert_eq!(account(&w, id).role, Role::Admin);
    w.sys(ChangePassword { id, old_password: None, new_password: "another long one".into() }).unwrap();
    let changed = version();
    assert!(changed > admin);
    w.sys(DisableUser { id }).unwrap();
    let disabled = version();
    assert!(disabled > changed && account(&w, id).disabled);
    w.sys(DisableUser { id }).unwrap();
    assert_eq!(version(), disabled, "disabled already");
    w.sys(EnableUser { id }).unwrap();
    assert_eq!((version(), account(&w, id).disabled), (disabled, false));
    w.sys(verify("ann@example.com", "another long one")).unwrap();
    assert_eq!(version(), disabled);
    assert_eq!(w.sys(AccountState { id: nobody() }).unwrap(), None);
}

#[test]
fn a_changed_password_replaces_the_old_one() {
    let w = World::new();
    let ann = w.create("ann@example.com", Role::Member);
    let to = |old: Option<&str>, new: &str| ChangePassword {
        id: ann.id,
        old_password: old.map(Into::into),
        new_password: new.into(),
    };
    let me = caller(&ann);
    assert_eq!(wrong_field(w.call(&me, to(Some("incorrect horse"), "another long one"))), "old_password");
    assert_eq!(wrong_field(w.call(&me, to(None, "another long one"))), "old_password");
    assert_eq!(wrong_field(w.call(&me, to(Some(PASSWORD), "short"))), "new_password");
    w.sys(verify("ann@example.com", PASSWORD)).unwrap();
    w.call(&me, to(Some(PASSWORD), "another long one")).unwrap();
    assert_eq!(code(w.sys(verify("ann@example.com", PASSWORD))), "wrong_credentials");
    w.sys(verify("ann@example.com", "another long one")).unwrap();
}

#[test]
fn the_old_password_is_tried_so_often_whoever_asks_and_then_once_a_refill() {
    let old_password = Bucket { tries: 3, refill: Duration::from_secs(60) };
    let w = World::with(Config { old_password, ..Config::default() });
    let (ann, root) = (w.create("ann@example.com", Role::Member), w.create("root@example.com", Role::Admin));
    let to = |old: &str| ChangePassword {
        id: ann.id,
        old_password: Some(old.into()),
        new_password: "another long one".into(),
    };
    let before = w.passwords.verified();
    for who in [&ann, &root, &ann] {
        assert_eq!(wrong_field(w.call(&caller(who), to("incorrect horse"))), "old_password");
    }
    for who in [&ann, &root] {
        let refused = w.call(&caller(who), to(PASSWORD)).unwrap_err();
        let wait = refused.refusal().expect("a refusal").retry_after();
        assert_eq!((code(Err::<(), _>(refused)), wait), ("too_many_tries".into(), Some(Duration::from_secs(60))));
    }
    assert_eq!(w.passwords.verified() - before, 3, "beyond the bound no password is looked at");
    let host = w.app.host();
    let counted = host.gauges().iter().find(|(_, g)| g.name == "monolite_old_password_refused_total");
    assert_eq!(counted.expect("a gauge").1.read(), 2);
    w.app.kill_and_restart();
    assert_eq!(code(w.call(&caller(&ann), to(PASSWORD))), "too_many_tries", "a crash forgets none");
    w.app.advance(Duration::from_secs(60));
    w.call(&caller(&ann), to(PASSWORD)).unwrap();
    for _ in 0..3 {
        assert_eq!(wrong_field(w.call(&caller(&ann), to("incorrect horse"))), "old_password", "a change forgets them");
    }
}

#[test]
fn a_try_at_the_old_password_that_nobody_looked_at_is_given_back() {
    let old_password = Bucket { tries: 1, refill: Duration::from_secs(60) };
    let w = World::with(Config { old_password, hash_threads: 1, hash_queue: 1, ..Config::default() });
    let ann = w.create("ann@example.com", Role::Member);
    let change =
        ChangePassword { id: ann.id, old_password: Some(PASSWORD.into()), new_password: "another long one".into() };
    let refused = w.passwords.while_busy(|| w.call(&caller(&ann), change.clone()).unwrap_err());
    assert!(matches!(refused, Error::Failed(failure) if failure.kind() == FailureKind::Overloaded));
    w.call(&caller(&ann), change).unwrap();
}

#[test]
fn of_two_changes_at_once_one_wins_and_the_other_is_told() {
    let w = World::new();
    let ann = w.create("ann@example.com", Role::Member);
    let replace = |hash: &str| ReplacePassword { id: ann.id, hash: hash.into(), credentials_version: 1 };
    w.sys(replace("first")).unwrap();
    assert_eq!(code(w.sys(replace("second"))), "credentials_changed");
    let stored = w.sys(CredentialsByEmail { email: ann.email }).unwrap().unwrap();
    assert_eq!(stored.hash.expose(), "first");
    assert!(stored.credentials_version > 1);
}

/// As where one file is put back to the moment before a change, and the change is made again: three ways to raise it, each
/// from the same version in two files.
#[test]
fn what_was_granted_under_an_undone_change_is_not_granted_by_the_next_one() {
    type Raise = fn(&World, UserId);
    let raises: [Raise; 3] = [
        |w, id| w.sys(ChangePassword { id, old_password: None, new_password: "another long one".into() }).unwrap(),
        |w, id| drop(w.sys(ChangeUser { id, name: None, role: Some(Role::Admin), if_match: None }).unwrap()),
        |w, id| drop(w.sys(DisableUser { id }).unwrap()),
    ];
    for raise in raises {
        let after = || {
            let w = World::new();
            let id = w.create("ann@example.com", Role::Member).id;
            assert_eq!(account(&w, id).credentials_version, 1);
            raise(&w, id);
            account(&w, id).credentials_version
        };
        let (undone, again) = (after(), after());
        assert!(undone > 1 && again > 1 && undone != again, "{undone} {again}");
    }
}

#[test]
fn a_hash_of_another_cost_is_renewed_by_the_next_sign_in_and_grants_stay() {
    let w = World::new();
    let ann = w.create("ann@example.com", Role::Member);
    let stored = || w.sys(CredentialsByEmail { email: "ann@example.com".into() }).unwrap().unwrap().hash;
    let dear = Passwords::new(&Config { cost: Cost::new(7_168, 5).unwrap(), ..Config::default() });
    let other = monolite_runtime::block_on(dear.hash(monolite_service::Tenant(0), PASSWORD.into())).unwrap();
    w.sys(RenewHash { id: ann.id, hash: other.clone(), outdated: stored() }).unwrap();
    assert_eq!(stored(), other);
    assert!(w.sys(verify("ann@example.com", "incorrect horse")).is_err());
    assert_eq!(stored(), other, "a wrong password renews nothing");
    let verified = w.sys(verify("ann@example.com", PASSWORD)).unwrap();
    assert!(stored() != other && !w.passwords.is_outdated(&stored()));
    assert_eq!((verified.credentials_version, account(&w, ann.id).credentials_version), (1, 1));
    w.sys(verify("ann@example.com", PASSWORD)).unwrap();
}

#[test]
fn no_file_holds_a_password() {
    let w = World::new();
    w.create("ann@example.com", Role::Member);
    w.app.host().shutdown().unwrap();
    let mut files = 0;
    for file in std::fs::read_dir(w.app.folder().join("Users")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(PASSWORD.len()).any(|w| w == PASSWORD.as_bytes()));
        files += usize::from(bytes.windows(15).any(|w| w == b"ann@example.com"));
    }
    assert!(files > 0, "the address is where the password is not");
}
