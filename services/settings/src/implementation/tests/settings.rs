//! Whose value holds, and which version replaces which.

use super::*;
use crate::Origin;
use monolite_service::FailureKind;
use proptest::prelude::*;

#[test]
fn a_users_value_is_their_own_else_the_systems_else_the_default() {
    let w = World::new();
    let (ann, bob) = (user(1), user(2));
    let seen = |who: &Caller| {
        let setting = w.read(who, Scope::User);
        (setting.value.as_str().to_owned(), setting.origin)
    };
    assert_eq!(seen(&ann), ("\"light\"".into(), Origin::Default));
    assert_eq!(w.read(&ann, Scope::User).version, 0);
    w.call(&admin(), set("\"dark\"", Scope::System, None)).unwrap();
    assert_eq!(seen(&ann), ("\"dark\"".into(), Origin::System));
    w.call(&ann, set("{\"hue\": 7}", Scope::User, None)).unwrap();
    assert_eq!(seen(&ann), ("{\"hue\": 7}".into(), Origin::User));
    assert_eq!(seen(&bob), ("\"dark\"".into(), Origin::System));
    assert_eq!(w.read(&ann, Scope::System).value.as_str(), "\"dark\"");
    w.app.kill_and_restart();
    assert_eq!(seen(&ann), ("{\"hue\": 7}".into(), Origin::User));
}

#[test]
fn what_was_set_is_answered_as_it_is_read() {
    let w = World::new();
    let answered = w.call(&user(1), set("[1, 2.50, null]", Scope::User, None)).unwrap();
    assert_eq!(w.read(&user(1), Scope::User), answered);
    assert_eq!(SetSetting::version(&answered), Some(1));
}

#[test]
fn a_stale_version_is_refused_and_changes_nothing() {
    let w = World::new();
    let ann = user(1);
    let first = w.call(&ann, set("1", Scope::User, Some(0))).unwrap().version;
    let second = w.call(&ann, set("2", Scope::User, Some(first))).unwrap().version;
    assert!(second > first);
    for stale in [0, first, second + 1, u64::MAX] {
        assert_eq!(code(w.call(&ann, set("3", Scope::User, Some(stale)))), "stale");
    }
    assert_eq!(w.read(&ann, Scope::User).value.as_str(), "2");
    w.call(&ann, set("3", Scope::User, None)).unwrap();
}

#[test]
fn a_version_read_from_the_system_is_stale_once_the_system_changed() {
    let w = World::new();
    w.call(&admin(), set("1", Scope::System, None)).unwrap();
    let inherited = w.read(&user(1), Scope::User).version;
    w.call(&admin(), set("2", Scope::System, None)).unwrap();
    assert_eq!(code(w.call(&user(1), set("3", Scope::User, Some(inherited)))), "stale");
    let inherited = w.read(&user(1), Scope::User).version;
    let own = w.call(&user(1), set("3", Scope::User, Some(inherited))).unwrap().version;
    assert_eq!(code(w.call(&user(1), set("4", Scope::User, Some(inherited)))), "stale");
    assert_ne!(own, inherited);
}

#[test]
fn the_systems_values_are_set_by_admins_and_ones_own_by_whoever_is_signed_in() {
    let w = World::new();
    assert_eq!(code(w.call(&user(1), set("1", Scope::System, None))), "forbidden");
    let nobody = Caller::anonymous(None);
    assert_eq!(code(w.call(&nobody, set("1", Scope::System, None))), "forbidden");
    let failure = w.call(&nobody, set("1", Scope::User, None)).unwrap_err();
    assert_eq!(failure.failure().map(|f| f.kind()), Some(FailureKind::Unauthenticated));
    assert!(w.call(&nobody, SettingByKey { key: "theme".into(), scope: Scope::User }).is_err());
    assert_eq!(w.read(&user(1), Scope::User).origin, Origin::Default);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn no_two_values_ever_have_the_same_version(sets in prop::collection::vec((0u128..3, any::<bool>(), any::<u16>()), 1..30)) {
        let w = World::new();
        let mut last = 0;
        for (who, of_system, value) in sets {
            let (caller, scope) = if of_system { (admin(), Scope::System) } else { (user(who), Scope::User) };
            let version = w.call(&caller, set(&value.to_string(), scope, None)).unwrap().version;
            prop_assert!(version > last);
            last = version;
            prop_assert_eq!(w.read(&caller, scope).version, version);
        }
    }
}
