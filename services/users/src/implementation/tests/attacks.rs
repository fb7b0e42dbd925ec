//! What attackers put into fields, and what must never be seen.

use super::*;
use crate::implementation::credentials::CredentialsByEmail;
use crate::{ChangePassword, ChangeUser, ListUsers, Secret, UserByEmail, VerifyPassword};

const ATTACKS: &[&str] = &[
    "'; DROP TABLE users; --",
    "\" OR \"\"=\"",
    "' OR 1=1 --",
    "x' UNION SELECT hash FROM passwords --",
    "%' OR '%'='",
    "\\'; ATTACH 'x' AS y; --",
    "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAA",
    "<script>alert(1)</script>",
    "${jndi:ldap://x/y}",
    "../../../etc/passwd",
    "?1 ?2 :a @b $c",
    "🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀",
];

#[test]
fn sql_in_every_field_is_text_or_refused_and_the_tables_stay() {
    let w = World::new();
    let ann = w.create("ann@example.com", Role::Member);
    for (n, attack) in ATTACKS.iter().enumerate() {
        assert_eq!(wrong_field(w.sys(new_user(attack))), "email", "{attack}");
        assert_eq!(code(w.sys(UserByEmail { email: (*attack).into() })), "user_not_found");
        let try_in = VerifyPassword { email: (*attack).into(), password: (*attack).into() };
        assert_eq!(code(w.sys(try_in)), "wrong_credentials");
        let named = ChangeUser { id: ann.id, name: Some((*attack).into()), role: None, if_match: None };
        assert_eq!(w.sys(named).unwrap().name, *attack);
        let email = format!("u{n}@example.com");
        let password = Secret::new(format!("{attack} and longer"));
        w.sys(CreateUser { password: password.clone(), name: Some((*attack).into()), ..new_user(&email) }).unwrap();
        assert_eq!(w.sys(VerifyPassword { email, password }).unwrap().user.name, *attack);
        let cursor = ListUsers { page: monolite_service::PageOf::default().after(*attack), ..ListUsers::default() };
        assert!(w.sys(cursor).is_err(), "{attack} is no cursor");
    }
    assert_eq!(w.sys(ListUsers::default()).unwrap().items.len(), 1 + ATTACKS.len());
}

#[test]
fn no_debug_refusal_or_failure_shows_a_secret() {
    const CANARY: &str = "canary-7f3a-password";
    let w = World::new();
    let ann = w.create("ann@example.com", Role::Member);
    let create = CreateUser { password: CANARY.into(), ..new_user("canary@example.com") };
    let verify = VerifyPassword { email: "ann@example.com".into(), password: CANARY.into() };
    let change = ChangePassword { id: ann.id, old_password: Some(CANARY.into()), new_password: CANARY.into() };
    let mut shown = vec![format!("{create:?} {verify:?} {change:?}")];
    shown.push(format!("{:?}", w.sys(verify.clone())));
    shown.push(format!("{:?}", w.sys(change)));
    shown.push(format!("{:?}", w.sys(create.clone())));
    shown.push(format!("{:?} {}", w.sys(create.clone()), w.sys(create.clone()).unwrap_err()));
    let long = Secret::new(CANARY.repeat(20));
    shown.push(format!("{:?}", w.sys(CreateUser { password: long, ..create })));
    let stored = w.sys(CredentialsByEmail { email: "canary@example.com".into() }).unwrap().unwrap();
    shown.push(format!("{stored:?}"));
    let hash = stored.hash.expose();
    for text in shown {
        assert!(!text.contains(CANARY) && !text.contains("canary-7f3a") && !text.contains(hash), "{text}");
        assert!(!text.contains("argon2id"), "{text}");
    }
}

#[test]
fn replies_that_are_served_hold_no_hash() {
    let w = World::new();
    let ann = w.create("ann@example.com", Role::Member);
    let list = serde_json::to_string(&w.sys(ListUsers::default()).unwrap()).unwrap();
    for text in [serde_json::to_string(&ann).unwrap(), list] {
        assert!(text.contains("ann@example.com"));
        assert!(!text.contains("argon2") && !text.contains("hash") && !text.contains("credentials"), "{text}");
    }
}
