//! Creating, showing, listing and changing users.

use monolite_service::PageOf;

use super::*;
use crate::{ChangeUser, DisableUser, EnableUser, ListUsers, UserByEmail, UserById, UsersByIds};

fn change(id: UserId) -> ChangeUser {
    ChangeUser { id, name: None, role: None, if_match: None }
}

#[test]
fn a_created_user_is_shown_as_created() {
    let w = World::new();
    let ann = w.sys(CreateUser { name: Some(" Ann Lee ".into()), ..new_user("Ann@Example.com") }).unwrap();
    assert_eq!((ann.email.as_str(), ann.name.as_str(), ann.role), ("Ann@Example.com", "Ann Lee", Role::Member));
    assert_eq!((ann.version, ann.disabled, ann.created_at), (1, false, w.app.host().now()));
    assert_eq!(w.sys(UserById { id: ann.id }).unwrap(), ann);
    assert_eq!(w.create("bob@example.com", Role::Admin).name, "bob");
    w.app.kill_and_restart();
    assert_eq!(w.sys(UserById { id: ann.id }).unwrap(), ann);
}

#[test]
fn two_addresses_that_differ_by_case_only_conflict() {
    let w = World::new();
    let ann = w.create("ann@example.com", Role::Member);
    for same in ["ann@example.com", "Ann@Example.COM", "ANN@EXAMPLE.COM"] {
        assert_eq!(code(w.sys(new_user(same))), "email_taken");
        assert_eq!(w.sys(UserByEmail { email: same.into() }).unwrap(), ann);
    }
    assert_eq!(w.sys(ListUsers::default()).unwrap().items, [ann]);
}

#[test]
fn a_wrong_field_is_named_and_nothing_is_created() {
    let w = World::new();
    let short = CreateUser { password: "elevenchars".into(), ..new_user("a@example.com") };
    assert_eq!(wrong_field(w.sys(short)), "password");
    assert_eq!(
        wrong_field(w.sys(CreateUser { password: "x".repeat(129).into(), ..new_user("a@example.com") })),
        "password"
    );
    assert_eq!(wrong_field(w.sys(new_user("nobody"))), "email");
    assert_eq!(wrong_field(w.sys(CreateUser { name: Some(" ".into()), ..new_user("a@example.com") })), "name");
    assert!(w.sys(ListUsers::default()).unwrap().items.is_empty());
}

#[test]
fn pages_show_each_user_once_oldest_first() {
    let w = World::new();
    let all: Vec<User> = (0..7).map(|n| w.create(&format!("u{n}@example.com"), Role::Member)).collect();
    let (mut page, mut seen) = (PageOf::first(3), Vec::new());
    loop {
        let list = w.sys(ListUsers { page: page.clone(), ..ListUsers::default() }).unwrap();
        assert!(list.items.len() <= 3);
        seen.extend(list.items);
        match list.next {
            Some(next) => page = page.after(next),
            None => break,
        }
    }
    assert_eq!(seen, all);
}

#[test]
fn lists_filter_by_role_and_state() {
    let w = World::new();
    let (root, ann) = (w.create("root@example.com", Role::Admin), w.create("ann@example.com", Role::Member));
    let gone = w.create("gone@example.com", Role::Member);
    let gone = w.sys(DisableUser { id: gone.id }).unwrap();
    let list = |role, disabled| w.sys(ListUsers { role, disabled, ..ListUsers::default() }).unwrap().items;
    assert_eq!(list(Some(Role::Admin), None), std::slice::from_ref(&root));
    assert_eq!(list(None, Some(true)), [gone]);
    assert_eq!(list(None, Some(false)), [root, ann.clone()]);
    assert_eq!(list(Some(Role::Member), Some(false)), [ann]);
}

#[test]
fn several_ids_answer_in_their_order_each_once_without_strangers() {
    let w = World::new();
    let (a, b) = (w.create("a@example.com", Role::Member), w.create("b@example.com", Role::Member));
    let ids = vec![b.id, nobody(), a.id, b.id];
    assert_eq!(w.sys(UsersByIds { ids: ids.clone() }).unwrap(), [b.clone(), a.clone()]);
    let page = w.sys(ListUsers { ids: Some(ids), ..ListUsers::default() }).unwrap();
    assert_eq!((page.items, page.next), (vec![b, a], None));
    assert_eq!(wrong_field(w.sys(UsersByIds { ids: vec![nobody(); 201] })), "ids");
    let both = ListUsers { ids: Some(vec![]), role: Some(Role::Admin), ..ListUsers::default() };
    assert_eq!(wrong_field(w.sys(both)), "ids");
}

#[test]
fn a_change_raises_the_version_and_a_stale_one_changes_nothing() {
    let w = World::new();
    let ann = w.create("ann@example.com", Role::Member);
    let renamed = w.sys(ChangeUser { name: Some("Ann Lee".into()), if_match: Some(1), ..change(ann.id) }).unwrap();
    assert_eq!((renamed.name.as_str(), renamed.version), ("Ann Lee", 2));
    let stale = ChangeUser { name: Some("Eve".into()), if_match: Some(1), ..change(ann.id) };
    assert_eq!(kind(w.sys(stale)), RefusalKind::Stale);
    assert_eq!(w.sys(UserById { id: ann.id }).unwrap(), renamed);
    let same = w.sys(ChangeUser { name: Some("Ann Lee".into()), ..change(ann.id) }).unwrap();
    assert_eq!(same.version, 2, "nothing changed");
    assert_eq!(wrong_field(w.sys(change(ann.id))), "");
}

#[test]
fn the_last_active_admin_stays_one() {
    let w = World::new();
    let (root, other) = (w.create("root@example.com", Role::Admin), w.create("other@example.com", Role::Admin));
    let demote = |id| w.sys(ChangeUser { role: Some(Role::Member), ..change(id) });
    w.sys(DisableUser { id: other.id }).unwrap();
    assert_eq!(code(demote(root.id)), "last_admin");
    assert_eq!(code(w.sys(DisableUser { id: root.id })), "last_admin");
    assert_eq!(demote(other.id).unwrap().role, Role::Member, "a disabled admin is not the last active one");
    let promoted = w.sys(ChangeUser { role: Some(Role::Admin), ..change(other.id) }).unwrap();
    assert_eq!(code(demote(root.id)), "last_admin", "the other is disabled");
    assert!(promoted.disabled && !w.sys(EnableUser { id: other.id }).unwrap().disabled);
    assert_eq!(demote(root.id).unwrap().role, Role::Member);
}
