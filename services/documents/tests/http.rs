//! Documents over HTTP: the whole body is the document, title and key are in the query.

use monolite_documents::{DEPTH_MAX, service};
use monolite_testkit::app;
use serde_json::{Value, json};

#[test]
fn a_documents_life_over_http() {
    let app = app([service()]);
    let ann = app.user("ann").http();
    let created =
        ann.post("/documents?title=Tomato+soup&key=a%2Fb%3D1", &json!({"title": "inside", "n": [1, "basil"]}));
    assert_eq!((created.status, created.header("etag")), (201, Some("\"1\"")), "{}", created.text());
    let at = created.header("location").unwrap().strip_prefix("/api/v1").unwrap().to_owned();
    assert!(created.header("monolite-commit").unwrap().starts_with("Documents="));

    let read: Value = ann.get(&at).json();
    assert_eq!((&read["title"], &read["key"]), (&json!("Tomato soup"), &json!("a/b=1")));
    assert_eq!(read["body"], json!({"title": "inside", "n": [1, "basil"]}));

    let stale = ann.clone().header("if-match", "\"7\"");
    assert_eq!(stale.put(&at, &json!(2)).status, 412);
    assert_eq!(stale.delete(&at).status, 412);
    let replaced = ann.clone().header("if-match", "\"1\"").put(&at, &json!("plain text"));
    assert_eq!((replaced.status, replaced.header("etag")), (200, Some("\"2\"")));

    let found: Value = ann.get("/documents/search?q=plain+te").json();
    assert_eq!(found["items"][0]["title"], "Tomato soup");
    let suggested: Value = ann.get("/documents/suggest?prefix=red+to").json();
    assert_eq!(suggested["items"][0]["text"], "red tomato");
    let list: Value = ann.get("/documents?limit=5").json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);

    for outsider in [app.user("bob").http(), app.user("bob").with_roles(["member"]).http()] {
        assert_eq!((outsider.get(&at).status, outsider.delete(&at).status), (404, 404));
    }
    assert_eq!(app.http().get(&at).status, 401);
    assert_eq!(app.user("eve").with_roles(["admin"]).http().get(&at).status, 200);
    assert_eq!((ann.delete(&at).status, ann.get(&at).status), (204, 404));
}

#[test]
fn any_json_is_a_document_and_nothing_else_is() {
    let app = app([service()]);
    let ann = app.user("ann").http();
    let post = |body: &str| ann.send(http::Method::POST, "/documents", Some("application/json"), body.to_owned());
    for good in
        ["null", "0", "\"x\"", "[]", "{}", " {\"body\": 1} ", "1e999", "{\"key\":\"k\",\"title\":7,\"id\":null}"]
    {
        assert_eq!(post(good).status, 201, "{good}");
    }
    let deep = format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
    for bad in ["", "{", "{\"a\":1}}", "nul", "[1,]", "'x'", "\u{0}", deep.as_str()] {
        let answer = post(bad);
        assert!((400..=422).contains(&answer.status), "{bad:?}: {} {}", answer.status, answer.text());
    }
    for query in ["titel=x", "title=a&title=b", "key=", "body=1", "prepared=1", "id=x"] {
        let answer = ann.post(&format!("/documents?{query}"), &1);
        assert!((400..=422).contains(&answer.status), "{query}: {} {}", answer.status, answer.text());
    }
    for path in ["/documents/search", "/documents/suggest", "/documents/search?q=x&limit=0", "/documents?cursor=x"] {
        assert!((400..=422).contains(&ann.get(path).status), "{path}");
    }
    let list: Value = ann.get("/documents").json();
    assert_eq!(list["items"].as_array().unwrap().len(), 8, "what was refused is not there");
}
