//! The routes of Users: shapes, statuses, and nothing that was not asked for.

use super::*;
use serde_json::{Value, json};

fn code_of(response: &monolite_testkit::Response) -> (u16, String) {
    (response.status, response.json::<Value>()["code"].as_str().unwrap_or_default().to_owned())
}

/// Malformed or not valid: the edge tells the two apart, with a problem that names the field.
fn invalid(response: &monolite_testkit::Response) -> bool {
    matches!(response.status, 400 | 422)
}

#[test]
fn a_user_is_created_shown_renamed_and_disabled() {
    let w = World::new();
    let root = w.app.user("root").with_roles(["admin"]).http();
    let body = json!({"email": "ann@example.com", "password": PASSWORD, "name": "Ann"});
    let created = root.post("/users", &body);
    assert_eq!((created.status, created.header("etag")), (201, Some("\"1\"")), "{}", created.text());
    let ann: Value = created.json();
    let path = format!("/users/{}", ann["id"].as_str().unwrap());
    assert_eq!(created.header("location"), Some(&*format!("/api/v1{path}")));
    assert_eq!(
        ann,
        json!({
            "id": ann["id"], "email": "ann@example.com", "name": "Ann", "role": "member", "disabled": false,
            "created_at": ann["created_at"], "changed_at": ann["created_at"], "version": 1,
        })
    );
    assert_eq!(root.get(&path).json::<Value>(), ann);
    let renamed = root.clone().header("if-match", "\"1\"").patch(&path, &json!({"name": "Ann Lee"}));
    assert_eq!((renamed.status, renamed.header("etag")), (200, Some("\"2\"")), "{}", renamed.text());
    let stale = root.clone().header("if-match", "\"1\"").patch(&path, &json!({"name": "Eve"}));
    assert_eq!(stale.status, 412);
    let disabled = root.post(&format!("{path}/disable"), &json!({}));
    assert_eq!((disabled.status, disabled.json::<Value>()["disabled"].clone()), (200, json!(true)));
    let password = root.post(&format!("{path}/password"), &json!({"new_password": "another long one"}));
    assert_eq!((password.status, password.text()), (204, ""));
}

#[test]
fn lists_and_batches_answer_pages() {
    let w = World::new();
    let users: Vec<User> = (0..3).map(|n| w.create(&format!("u{n}@example.com"), Role::Member)).collect();
    let root = w.app.user("root").with_roles(["admin"]).http();
    let ids = |path: &str| {
        let page: Value = root.get(path).json();
        let ids: Vec<String> =
            page["items"].as_array().expect("items").iter().map(|u| u["id"].as_str().unwrap().to_owned()).collect();
        (ids, page["next"].as_str().map(str::to_owned))
    };
    let (first, next) = ids("/users?limit=2");
    assert_eq!(first, [users[0].id.to_string(), users[1].id.to_string()]);
    let (second, end) = ids(&format!("/users?limit=2&cursor={}", next.expect("a cursor")));
    assert_eq!((second, end), (vec![users[2].id.to_string()], None));
    let (batch, _) = ids(&format!("/users?ids={},{},{}", users[2].id, nobody(), users[0].id));
    assert_eq!(batch, [users[2].id.to_string(), users[0].id.to_string()]);
    assert!(invalid(&root.get("/users?ids=not-an-id")));
    assert!(invalid(&root.get("/users?cursor=rubbish")));
}

#[test]
fn what_may_not_be_is_a_clear_problem() {
    let w = World::new();
    let bob = w.create("bob@example.com", Role::Member);
    let (nobody, ann) = (w.app.http(), w.app.user("ann").with_roles(["member"]).http());
    let root = w.app.user("root").with_roles(["admin"]).http();
    let new = json!({"email": "c@example.com", "password": PASSWORD});
    assert_eq!(code_of(&nobody.post("/users", &new)).0, 401);
    assert_eq!(code_of(&ann.post("/users", &new)), (403, "forbidden".into()));
    let bobs = format!("/users/{}", bob.id);
    assert_eq!(code_of(&nobody.get(&bobs)).0, 401);
    assert_eq!(code_of(&ann.get(&bobs)), (404, "user_not_found".into()));
    assert_eq!(code_of(&ann.patch(&bobs, &json!({"name": "x"}))), (404, "user_not_found".into()));
    assert_eq!(code_of(&ann.post(&format!("{bobs}/disable"), &json!({}))), (404, "user_not_found".into()));
    assert!(invalid(&root.get("/users/not-an-id")));
    let taken = json!({"email": "BOB@example.com", "password": PASSWORD});
    assert_eq!(code_of(&root.post("/users", &taken)), (409, "email_taken".into()));
    let weak = root.post("/users", &json!({"email": "c@example.com", "password": "elevenchars"}));
    assert!(invalid(&weak) && weak.text().contains("password"), "{}", weak.text());
    assert!(!weak.text().contains("elevenchars"));
    let unknown = json!({"email": "c@example.com", "password": PASSWORD, "is_admin": true});
    assert!(invalid(&root.post("/users", &unknown)));
}

#[test]
fn what_is_private_has_no_route() {
    let w = World::new();
    let host = w.app.host();
    let served: Vec<&str> = host.routes().iter().map(|r| r.message.rsplit('.').next().unwrap()).collect();
    for private in ["AccountState", "VerifyPassword", "CredentialsById", "CredentialsByEmail", "InsertUser"] {
        assert!(!served.contains(&private), "{private}");
    }
    for private in ["ReplacePassword", "RenewHash", "UserByEmail", "UsersByIds"] {
        assert!(!served.contains(&private), "{private}");
    }
    assert_eq!(served.len(), 7, "{served:?}");
}
