//! The test kit over HTTP: what an author's tests can rely on.
#![allow(missing_docs)]

mod notes;

use monolite_service::*;
use monolite_testkit::app;
use notes::*;
use serde_json::{Value, json};

#[test]
fn a_note_goes_in_and_comes_out_over_http() {
    let app = app([service()]);
    let http = app.user("ann").http();
    let created = http.post("/notes", &json!({"title": "tea"}));
    assert_eq!(created.status, 201, "{}", created.text());
    let id: Uuid = created.json();
    assert_eq!(created.header("location"), Some(format!("/api/v1/notes/{id}").as_str()));
    assert!(created.header("monolite-commit").unwrap().starts_with("Notes="));
    assert!(created.header("server-timing").unwrap().contains(" statement"));
    let shown = app.http().get(&format!("/notes/{id}"));
    assert_eq!((shown.status, shown.header("etag")), (200, Some("\"1\"")));
    assert_eq!(shown.json::<Note>().title, "tea");
}

#[test]
fn users_are_told_apart_and_roles_are_needed() {
    let app = app([service()]);
    app.user("ann").http().post("/notes", &json!({"title": "tea"}));
    let list = |user: &str| app.user(user).http().get("/notes?limit=5").json::<Page<Note>>().items.len();
    assert_eq!((list("ann"), list("bob")), (1, 0));
    assert_eq!(app.http().get("/notes").status, 401);
    assert_eq!(app.http().bearer("test-nobody").get("/notes").status, 401);
    assert_eq!(app.user("ann").http().post("/forever", &json!({})).status, 403);
    let late = app.user("ann").with_roles(["admin"]).http().post("/forever", &json!({}));
    assert!(late.status >= 500, "{}", late.status);
    app.clone().authenticate(Nobody).use_real_auth();
    assert_eq!(app.user("ann").http().get("/notes").status, 401);
}

struct Nobody;
impl Authenticator for Nobody {
    fn authenticate<'a>(&'a self, _: &'a Flow, _: &'a Credentials) -> BoxFuture<'a, Result<Caller, Error>> {
        Box::pin(async { Err(Refused::unauthenticated().into()) })
    }
}

#[test]
fn preconditions_uploads_and_blobs() {
    let app = app([service()]);
    let http = app.user("ann").http();
    let id: Uuid = http.post("/notes", &json!({"title": "tea"})).json();
    let path = format!("/notes/{id}");
    let stale = http.clone().header("if-match", "\"7\"").put(&path, &json!({"title": "coffee"}));
    assert_eq!(stale.status, 412, "{}", stale.text());
    assert_eq!(http.clone().header("if-match", "\"1\"").put(&path, &json!({"title": "coffee"})).json::<u64>(), 2);
    let image = vec![7u8; 200 << 10];
    let put = http.send("PUT".parse().unwrap(), &format!("{path}/file"), Some("image/png"), image.clone());
    assert_eq!((put.status, put.text()), (200, "204800"), "{}", put.text());
    let got = app.http().get(&format!("{path}/file"));
    assert_eq!((got.header("content-type"), &got.body[..]), (Some("image/png"), &image[..]));
    let large = http.send("PUT".parse().unwrap(), &format!("{path}/file"), Some("image/png"), vec![7u8; 2 << 20]);
    assert_eq!(large.status, 413);
}

#[test]
fn what_is_wrong_is_named() {
    let app = app([service()]);
    let http = app.user("ann").http();
    let field = |answer: monolite_testkit::Response| {
        assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.text());
        answer.text().to_owned()
    };
    assert!(field(http.post("/notes", &json!({"title": ""}))).contains("title"));
    assert!(field(http.post("/notes", &json!({"titel": "x"}))).contains("titel"));
    assert!(field(http.post("/notes", &json!({"title": 7}))).contains("title"));
    assert!(field(http.get("/notes?limit=0")).contains("limit"));
    assert!(field(http.get("/notes?cursor=abc")).contains("cursor"));
    assert!(field(http.get("/notes?page=1")).contains("page"));
    assert!(field(http.get("/notes/no-id")).contains("id"));
    assert!(
        field(http.send("POST".parse().unwrap(), "/notes", Some("application/json"), r#"{"title":"a","title":"b"}"#))
            .contains("title")
    );
    let tag = http.put(&format!("/notes/{}/tags/x", Uuid::nil()), &json!({}));
    let problem: Value = tag.json();
    assert_eq!((tag.status, problem["code"].as_str()), (404, Some("no_note")), "{problem}");
}
