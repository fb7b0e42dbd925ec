//! Who may do what to whom: the whole matrix of caller and message.

use super::*;
use crate::{ChangePassword, ChangeUser, DisableUser, EnableUser, ListUsers, UserByEmail, UserById, UsersByIds};

fn rename(user: &User) -> ChangeUser {
    ChangeUser { id: user.id, name: Some("New Name".into()), role: None, if_match: None }
}

fn password(user: &User) -> ChangePassword {
    ChangePassword { id: user.id, old_password: Some(PASSWORD.into()), new_password: PASSWORD.into() }
}

#[test]
fn to_a_member_and_to_nobody_others_are_not_found() {
    let w = World::new();
    let (ann, bob) = (w.create("ann@example.com", Role::Member), w.create("bob@example.com", Role::Member));
    let before = w.sys(UserById { id: bob.id }).unwrap();
    let ghost = User { id: nobody(), email: "ghost@example.com".into(), ..bob.clone() };
    for who in [caller(&ann), Caller::anonymous(None)] {
        for other in [&bob, &ghost] {
            assert_eq!(code(w.call(&who, UserById { id: other.id })), "user_not_found");
            assert_eq!(code(w.call(&who, UserByEmail { email: other.email.clone() })), "user_not_found");
            assert_eq!(code(w.call(&who, rename(other))), "user_not_found");
            assert_eq!(code(w.call(&who, password(other))), "user_not_found");
            assert_eq!(code(w.call(&who, DisableUser { id: other.id })), "user_not_found");
            assert_eq!(code(w.call(&who, EnableUser { id: other.id })), "forbidden");
            assert_eq!(w.call(&who, UsersByIds { ids: vec![other.id] }).unwrap(), []);
        }
    }
    assert_eq!(w.passwords.verified(), 0, "no hash was spent on what is not theirs");
    assert_eq!(w.sys(UserById { id: bob.id }).unwrap(), before, "nothing happened");
}

#[test]
fn a_member_sees_and_changes_themselves() {
    let w = World::new();
    let ann = w.create("ann@example.com", Role::Member);
    w.create("bob@example.com", Role::Member);
    let me = caller(&ann);
    assert_eq!(w.call(&me, UserById { id: ann.id }).unwrap(), ann);
    assert_eq!(w.call(&me, ListUsers::default()).unwrap().items, std::slice::from_ref(&ann));
    assert_eq!(w.call(&me, rename(&ann)).unwrap().name, "New Name");
    assert_eq!(kind(w.call(&me, ChangeUser { role: Some(Role::Admin), ..rename(&ann) })), RefusalKind::Forbidden);
    assert_eq!(w.call(&me, UserById { id: ann.id }).unwrap().role, Role::Member);
    assert!(w.call(&me, DisableUser { id: ann.id }).unwrap().disabled);
}

#[test]
fn an_admin_sees_and_changes_all() {
    let w = World::new();
    let (root, ann) = (w.create("root@example.com", Role::Admin), w.create("ann@example.com", Role::Member));
    let admin = caller(&root);
    assert_eq!(w.call(&admin, ListUsers::default()).unwrap().items.len(), 2);
    assert_eq!(w.call(&admin, UserByEmail { email: ann.email.clone() }).unwrap(), ann);
    w.call(&admin, rename(&ann)).unwrap();
    w.call(&admin, ChangePassword { old_password: None, ..password(&ann) }).unwrap();
    let wrong = ChangePassword { old_password: Some("incorrect horse".into()), ..password(&ann) };
    assert_eq!(wrong_field(w.call(&admin, wrong)), "old_password");
    assert_eq!(w.call(&admin, ChangeUser { role: Some(Role::Admin), ..rename(&ann) }).unwrap().role, Role::Admin);
    assert!(w.call(&admin, DisableUser { id: ann.id }).unwrap().disabled);
    assert!(!w.call(&admin, EnableUser { id: ann.id }).unwrap().disabled);
    assert_eq!(code(w.call(&admin, UserById { id: nobody() })), "user_not_found");
}

#[test]
fn users_are_created_by_admins_unless_registration_is_open_and_then_only_as_members() {
    let (closed, open) = (World::new(), World::open());
    let root = caller(&closed.create("root@example.com", Role::Admin));
    let ann = caller(&closed.create("ann@example.com", Role::Member));
    let stranger = Caller::anonymous(None);
    let admin = |email: &str| CreateUser { role: Role::Admin, ..new_user(email) };
    assert_eq!(kind(closed.call(&stranger, new_user("c@example.com"))), RefusalKind::Unauthenticated);
    assert_eq!(kind(closed.call(&ann, new_user("c@example.com"))), RefusalKind::Forbidden);
    assert_eq!(closed.call(&root, admin("c@example.com")).unwrap().role, Role::Admin);
    assert_eq!(open.call(&stranger, new_user("c@example.com")).unwrap().role, Role::Member);
    assert_eq!(kind(open.call(&stranger, admin("d@example.com"))), RefusalKind::Forbidden);
    assert_eq!(kind(open.call(&ann, admin("d@example.com"))), RefusalKind::Forbidden);
    assert_eq!(open.call(&root, admin("d@example.com")).unwrap().role, Role::Admin);
}

#[test]
fn the_route_of_creation_is_as_open_as_the_configuration() {
    use monolite_service::{Access, POST};
    let access = |w: &World| {
        let host = w.app.host();
        let route = host.routes().iter().find(|r| r.method == POST && r.path == "/users").expect("a route");
        route.access
    };
    assert_eq!(access(&World::new()), Access::Role("admin"));
    assert_eq!(access(&World::open()), Access::Anyone);
}
