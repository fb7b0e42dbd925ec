//! The routes of Settings.

use super::*;
use serde_json::{Value, json};

#[test]
fn a_setting_is_read_and_set_with_its_version() {
    let w = World::new();
    let ann = w.app.user("ann").with_roles(["member"]).http();
    let first = ann.get("/settings/theme");
    let default = json!({"key": "theme", "scope": "user", "value": "light", "origin": "default", "version": 0});
    assert_eq!((first.status, first.header("etag"), first.json::<Value>()), (200, Some("\"0\""), default));
    let set = ann.clone().header("if-match", "\"0\"").put("/settings/theme", &json!({"value": {"hue": [1, null]}}));
    assert_eq!((set.status, set.header("etag")), (200, Some("\"1\"")), "{}", set.text());
    let stale = ann.clone().header("if-match", "\"0\"").put("/settings/theme", &json!({"value": 2}));
    assert_eq!(stale.status, 412, "{}", stale.text());
    assert_eq!(ann.get("/settings/theme?scope=user").json::<Value>()["value"], json!({"hue": [1, null]}));
    assert_eq!(ann.get("/settings/theme?scope=system").json::<Value>()["value"], json!("light"));
}

#[test]
fn the_systems_settings_are_set_by_admins() {
    let w = World::new();
    let (ann, root) = (w.app.user("ann").http(), w.app.user("root").with_roles(["admin"]).http());
    let path = "/settings/theme?scope=system";
    assert_eq!(ann.put(path, &json!({"value": "dark"})).status, 403);
    assert_eq!(root.put(path, &json!({"value": "dark"})).status, 200);
    let seen: Value = ann.get("/settings/theme").json();
    assert_eq!((seen["value"].clone(), seen["origin"].clone()), (json!("dark"), json!("system")));
}

/// Malformed or not valid: the edge tells the two apart, with a problem that names the field.
fn invalid(response: &monolite_testkit::Response) -> bool {
    matches!(response.status, 400 | 422)
}

#[test]
fn bad_requests_are_clear_problems_and_change_nothing() {
    let w = World::new();
    let ann = w.app.user("ann").http();
    assert_eq!(w.app.http().get("/settings/theme").status, 401);
    assert_eq!(ann.get("/settings/unknown").status, 404);
    assert!(invalid(&ann.get("/settings/theme?scope=everybody")));
    assert!(invalid(&ann.put("/settings/theme", &json!({}))));
    assert!(invalid(&ann.put("/settings/theme", &json!({"value": 1, "values": 2}))));
    assert!(invalid(&ann.clone().header("if-match", "rubbish").put("/settings/theme", &json!({"value": 1}))));
    assert!(invalid(&ann.put("/settings/theme", &json!({"value": "x".repeat(20_000)}))));
    assert_eq!(ann.put("/settings/theme", &json!({"value": "x".repeat(40_000)})).status, 413);
    assert_eq!(ann.get("/settings/theme").json::<Value>()["version"], 0);
}
