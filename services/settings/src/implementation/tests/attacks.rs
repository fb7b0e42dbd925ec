//! What attackers put into fields.

use super::*;
use crate::VALUE_BYTES_MAX;
use proptest::prelude::*;

#[test]
fn a_key_that_is_not_declared_is_not_found_whatever_it_is() {
    let w = World::new();
    let long = "k".repeat(1 << 20);
    for key in ["", "Theme", "theme ", "'; DROP TABLE user_settings; --", "' OR 1=1 --", "%", "\0", "theme\0", &long] {
        for scope in [Scope::User, Scope::System] {
            let read = SettingByKey { key: key.into(), scope };
            assert_eq!(code(w.call(&admin(), read)), "setting_not_found", "{key:.40?}");
            let write = SetSetting { key: key.into(), ..set("1", scope, None) };
            assert_eq!(code(w.call(&admin(), write)), "setting_not_found", "{key:.40?}");
        }
    }
}

#[test]
fn a_giant_or_bottomless_value_is_refused_and_changes_nothing() {
    let w = World::new();
    let giant = format!("\"{}\"", "x".repeat(VALUE_BYTES_MAX));
    assert!(w.call(&user(1), set(&giant, Scope::User, None)).unwrap_err().failure().is_some());
    // Json may hold what SQLite calls too deep; a caller in process could send it.
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    if let Ok(value) = Json::parse(deep) {
        let answer = w.call(&user(1), SetSetting { value, ..set("1", Scope::User, None) });
        assert_eq!(code(answer), "invalid");
    }
    assert_eq!(w.read(&user(1), Scope::User).version, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn any_text_comes_back_as_it_was_set(texts in prop::collection::vec("\\PC{0,30}|'; DROP TABLE [a-z_]{1,9};--", 1..5)) {
        let w = World::new();
        for text in texts {
            let value = serde_json::to_string(&text).unwrap();
            w.call(&user(1), set(&value, Scope::User, None)).unwrap();
            let setting = w.read(&user(1), Scope::User);
            prop_assert_eq!(setting.value.as_str(), value.as_str());
        }
    }
}
