//! What Files promises, over HTTP and in process: uploads that go on, ranges, owners, quotas, expiry.

#![allow(clippy::unwrap_used)]

use http::Method;
use monolite_files::*;
use monolite_service::{Error, Refused, hours, minutes, seconds};
use monolite_testkit::{App, User, app};
use serde_json::{Value, json};

const PIECE: usize = 64 << 10;

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 + n / 251) as u8).collect()
}

fn created(user: &User, file: Value) -> String {
    let answer = user.http().post("/files", &file);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.header("location").unwrap().strip_prefix("/api/v1").unwrap().to_owned()
}

struct Sent {
    status: u16,
    offset: Option<String>,
    complete: Option<String>,
    body: Value,
}

fn put(user: &User, at: &str, headers: &[(&str, &str)], bytes: &[u8]) -> Sent {
    let http = headers.iter().fold(user.http(), |http, (name, value)| http.header(name, value));
    let answer = http.send(Method::PUT, &format!("{at}/content"), None, bytes.to_vec());
    let header = |name| answer.header(name).map(str::to_owned);
    let (offset, complete) = (header("upload-offset"), header("upload-complete"));
    Sent { status: answer.status, offset, complete, body: answer.json() }
}

/// Values in the table of pieces, whoever has them.
fn pieces(app: &App) -> i64 {
    let store = app.host().store("Files").unwrap().clone();
    store
        .read_blocking::<_, monolite_store::Error, _>(|s| s.query_row("SELECT count(*) FROM pieces", [], |r| r.get(0)))
        .unwrap()
}

#[test]
fn a_files_life_over_http() {
    let app = app([service()]);
    let ann = app.user("ann");
    let bytes = content(3 * PIECE + 17);
    let said = json!({"name": "holiday é.png", "content_type": "image/png", "size": bytes.len()});
    let at = created(&ann, said);
    let sent = put(&ann, &at, &[], &bytes);
    assert_eq!((sent.status, sent.complete.as_deref()), (200, Some("?1")), "{}", sent.body);
    assert_eq!((&sent.body["received"], &sent.body["complete"]), (&json!(bytes.len()), &json!(true)));

    let got = ann.http().get(&format!("{at}/content"));
    assert_eq!((got.status, &got.body[..]), (200, &bytes[..]));
    for (header, value) in [
        ("content-type", "image/png"),
        ("content-disposition", "attachment; filename=\"holiday _.png\"; filename*=UTF-8''holiday%20%C3%A9.png"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("x-content-type-options", "nosniff"),
        ("accept-ranges", "bytes"),
        ("etag", "\"1\""),
    ] {
        assert_eq!(got.header(header), Some(value), "{header}");
    }
    let list: Value = ann.http().get("/files").json();
    assert_eq!(list["items"][0]["name"], "holiday é.png");
    assert_eq!((ann.http().delete(&at).status, ann.http().get(&at).status), (204, 404));
    assert_eq!(ann.http().get(&format!("{at}/content")).status, 404);
    app.advance(seconds(2));
    assert_eq!(pieces(&app), 0, "its room is free");
}

#[test]
fn a_part_is_answered_as_a_part() {
    let app = app([service()]);
    let ann = app.user("ann");
    let bytes = content(2 * PIECE + 100);
    let at = format!("{}/content", created(&ann, json!({"name": "x"})));
    assert_eq!(put(&ann, at.strip_suffix("/content").unwrap(), &[], &bytes).status, 200);
    let total = bytes.len();
    let part = |range: &str| ann.http().header("range", range).get(&at);
    for (range, first, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=65530-65545", 65530, 65546),
        ("bytes=-10", total - 10, total),
        ("bytes=131000-", 131_000, total),
        ("bytes=1-999999999", 1, total),
    ] {
        let got = part(range);
        assert_eq!((got.status, &got.body[..]), (206, &bytes[first..end]), "{range}");
        let said = format!("bytes {first}-{}/{total}", end - 1);
        assert_eq!(got.header("content-range"), Some(said.as_str()));
    }
    let beyond = part(&format!("bytes={total}-"));
    assert_eq!((beyond.status, beyond.header("content-type")), (416, Some("application/problem+json")));
    assert_eq!(beyond.header("content-range"), Some(format!("bytes */{total}").as_str()));
    for whole in ["bytes=5-4", "lines=1-2", "bytes=0-1,5-6"] {
        assert_eq!((part(whole).status, part(whole).body.len()), (200, total), "{whole}");
    }
    let known = |tag: &str| ann.http().header("range", "bytes=0-9").header("if-range", tag).get(&at);
    assert_eq!((known("\"1\"").status, known("\"2\"").status), (206, 200));
    let unchanged = ann.http().header("if-none-match", "\"1\"").get(&at);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let head = ann.http().header("range", "bytes=0-0").send(Method::HEAD, &at, None, "");
    assert_eq!((head.status, head.header("accept-ranges")), (200, Some("bytes")));
}

#[test]
fn an_upload_goes_on_where_it_stands_after_a_crash_too() {
    let app = app([service()]);
    let ann = app.user("ann");
    let bytes = content(5 * PIECE + 1000);
    let at = created(&ann, json!({"name": "x"}));
    // Cuts in the middle of a piece and of a block of the hash.
    let cuts = [0, 1, 70_001, 70_001 + 64, 2 * PIECE, 3 * PIECE + 5, bytes.len()];
    for pair in cuts.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let head = ann.http().send(Method::HEAD, &format!("{at}/content"), None, "");
        assert_eq!((head.status, head.header("upload-complete")), (204, Some("?0")));
        assert_eq!(head.header("upload-offset"), Some(from.to_string().as_str()));
        assert_eq!(ann.http().get(&format!("{at}/content")).status, 409, "what is there is not the whole");
        let offset = from.to_string();
        let complete = if to == bytes.len() { "?1" } else { "?0" };
        let sent = put(&ann, &at, &[("upload-offset", &offset), ("upload-complete", complete)], &bytes[from..to]);
        assert_eq!((sent.status, sent.complete.as_deref()), (200, Some(complete)), "{}", sent.body);
        assert_eq!(sent.offset, Some(to.to_string()));
        app.kill_and_restart();
    }
    let got = ann.http().get(&format!("{at}/content"));
    assert_eq!(&got.body[..], &bytes[..]);
    let file: File = ann.http().get(&at).json();
    assert_eq!(file.sha256.unwrap(), sha256(&bytes));
    assert_eq!((file.size, file.expires_at), (Some(bytes.len() as u64), None));
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_wrong_offset_changes_nothing_and_a_complete_content_takes_no_more() {
    let app = app([service()]);
    let ann = app.user("ann");
    let at = created(&ann, json!({"name": "x"}));
    assert_eq!(put(&ann, &at, &[("upload-complete", "?0")], b"abc").status, 200);
    for offset in ["0", "2", "4", "999999999999999"] {
        let sent = put(&ann, &at, &[("upload-offset", offset)], b"x");
        assert_eq!((sent.status, &sent.body["code"]), (409, &json!("other_upload_offset")), "{offset}");
    }
    for (header, value) in [
        ("upload-offset", "-1"),
        ("upload-offset", "1e3"),
        ("upload-offset", "9999999999999999"),
        ("upload-complete", "1"),
        ("upload-complete", "true"),
        ("upload-length", "?1"),
    ] {
        let sent = put(&ann, &at, &[(header, value)], b"x");
        assert_eq!((sent.status, &sent.body["code"]), (400, &json!("malformed_upload_header")), "{header}: {value}");
    }
    assert_eq!(put(&ann, &at, &[("upload-offset", "3")], b"def").status, 200);
    let more = put(&ann, &at, &[("upload-offset", "6")], b"ghi");
    assert_eq!((more.status, &more.body["code"]), (409, &json!("upload_complete")));
    assert_eq!(ann.http().get(&format!("{at}/content")).text(), "abcdef");
}

#[test]
fn declared_sizes_and_hashes_are_kept() {
    let app = app([service()]);
    let ann = app.user("ann");
    let at = created(&ann, json!({"name": "x", "size": 6, "sha256": sha256(b"abcdef")}));
    let code = |headers: &[(&str, &str)], bytes: &[u8]| {
        let sent = put(&ann, &at, headers, bytes);
        (sent.status, sent.body["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(code(&[], b"abcdefg"), (413, "too_large".into()));
    assert_eq!(code(&[], b"abc"), (422, "invalid".into()), "it would not be complete");
    assert_eq!(code(&[("upload-length", "7")], b"abcdef"), (422, "invalid".into()));
    assert_eq!(code(&[], b"abcdeX"), (409, "other_sha256".into()));
    let file: File = ann.http().get(&at).json();
    assert_eq!((file.received, file.complete), (0, false), "it was dropped, and may come again");
    assert_eq!(code(&[], b"abcdef").0, 200);
    assert_eq!(ann.http().get(&format!("{at}/content")).text(), "abcdef");

    let empty = created(&ann, json!({"name": "empty"}));
    assert_eq!(put(&ann, &empty, &[], b"").status, 200);
    let got = ann.http().get(&format!("{empty}/content"));
    assert_eq!((got.status, got.body.len()), (200, 0));
    let file: File = ann.http().get(&empty).json();
    assert_eq!((file.complete, file.sha256.unwrap()), (true, sha256(b"")));
}

#[test]
fn a_file_is_its_owners_and_admins_see_all() {
    let app = app([service()]);
    let (ann, bob) = (app.user("ann"), app.user("bob"));
    let admin = app.user("eve").with_roles(["admin"]);
    let at = created(&ann, json!({"name": "secret"}));
    put(&ann, &at, &[("upload-complete", "?0")], b"abc");
    for path in [at.clone(), format!("{at}/content")] {
        assert_eq!(bob.http().get(&path).status, 404);
        assert_eq!(app.http().get(&path).status, 401);
    }
    assert_eq!(bob.http().send(Method::HEAD, &format!("{at}/content"), None, "").status, 404);
    assert_eq!(put(&bob, &at, &[("upload-offset", "3")], b"x").status, 404);
    assert_eq!(bob.http().delete(&at).status, 404);
    assert_eq!(bob.http().get(&format!("/files?owner={}", ann.id())).status, 403);
    let theirs: Value = bob.http().get("/files").json();
    assert_eq!(theirs["items"], json!([]));
    let seen: Value = admin.http().get(&format!("/files?owner={}", ann.id())).json();
    assert_eq!(seen["items"][0]["received"], 3);
    assert_eq!(admin.http().get(&at).status, 200);
    assert_eq!(admin.http().delete(&at).status, 204);
}

#[test]
fn unfinished_files_are_bounded_and_go_in_time() {
    let limits = Config { bytes_max: 1000, unfinished_max: 3, unfinished_bytes_max: 1500, ..Config::default() };
    let app = app([service_with(limits)]);
    let ann = app.user("ann");
    let code = |file: Value| -> (u16, Value) {
        let answer = ann.http().post("/files", &file);
        (answer.status, answer.json::<Value>()["code"].clone())
    };
    assert_eq!(code(json!({"name": "a", "size": 1001})), (413, json!("too_large")));
    let declared = created(&ann, json!({"name": "a", "size": 1000}));
    assert_eq!(code(json!({"name": "b", "size": 501})), (409, json!("too_many_unfinished_bytes")));
    let open = created(&ann, json!({"name": "b"}));
    let sent = put(&ann, &open, &[("upload-complete", "?0")], &content(501));
    assert_eq!((sent.status, &sent.body["code"]), (409, &json!("too_many_unfinished_bytes")));
    assert_eq!(put(&ann, &open, &[("upload-complete", "?0")], &content(500)).status, 200);
    let third = created(&ann, json!({"name": "c"}));
    assert_eq!(code(json!({"name": "d"})), (409, json!("too_many_unfinished_files")));
    created(&app.user("bob"), json!({"name": "bob's own", "size": 1000}));
    assert_eq!(put(&ann, &third, &[], b"").status, 200);
    created(&ann, json!({"name": "d"}));

    app.advance(hours(23));
    assert_eq!(put(&ann, &open, &[("upload-offset", "500"), ("upload-complete", "?0")], b"").status, 200);
    app.advance(minutes(62));
    let there = |at: &str| ann.http().get(at).status;
    assert_eq!((there(&declared), there(&open), there(&third)), (404, 404, 200), "no byte came for a day");
    assert_eq!(pieces(&app), 0);
}

#[test]
fn what_is_no_file_is_refused() {
    let app = app([service()]);
    let ann = app.user("ann");
    for bad in [
        json!({"name": ""}),
        json!({"name": "a/b"}),
        json!({"name": "a\u{0}b"}),
        json!({"name": "x".repeat(256)}),
        json!({"name": "x", "content_type": "text"}),
        json!({"name": "x", "content_type": "text/html\r\nset-cookie: a=b"}),
        json!({"name": "x", "sha256": "abc"}),
        json!({"name": "x", "size": -1}),
        json!({"name": "x", "complete": true}),
    ] {
        let answer = ann.http().post("/files", &bad);
        assert!((400..=422).contains(&answer.status), "{bad}: {} {}", answer.status, answer.text());
    }
    let refused = app.anonymous().call(CreateFile::named("x"));
    assert!(matches!(refused, Err(Error::Failed(_))));
    let gone = ann.call(FileById { id: monolite_service::Uuid::nil() });
    assert!(matches!(gone, Err(Error::Refused(no)) if no == Refused::not_found("file")));
}

#[test]
fn in_process_a_content_is_an_upload_like_any() {
    let app = app([service()]);
    let ann = app.user("ann");
    let file = ann.call(CreateFile::named("x")).unwrap();
    let bytes = content(2 * PIECE + 9);
    let file = ann.upload(PutContent::of(file.id), bytes.clone()).unwrap();
    assert_eq!((file.complete, file.sha256), (true, Some(sha256(&bytes))));
    let blob = ann.call(FileContent { id: file.id }).unwrap();
    assert_eq!((blob.length, blob.attachment.as_deref()), (bytes.len() as u64, Some("x")));
}

#[test]
fn the_openapi_document_tells_of_streams() {
    let app = app([service()]);
    let document: Value = app.http().at_root().get("/openapi.json").json();
    let at = &document["paths"]["/api/v1/files/{id}/content"];
    let headers = |method: &str| -> Vec<String> {
        let all = at[method]["parameters"].as_array().unwrap().iter().filter(|p| p["in"] == "header");
        all.map(|p| p["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(headers("get"), ["Range", "If-Range", "If-Match", "If-None-Match", "Monolite-At-Least"]);
    let put = headers("put");
    assert!(["Upload-Offset", "Upload-Complete", "Upload-Length"].iter().all(|name| put.contains(&(*name).to_owned())));
    assert!(at["get"]["responses"]["206"].is_object() && at["get"]["responses"]["416"].is_object());
    assert!(at["put"]["requestBody"]["content"]["application/octet-stream"].is_object() && at["patch"].is_object());
    let query = at["put"]["parameters"].as_array().unwrap().iter().filter(|p| p["in"] == "query").count();
    assert_eq!(query, 0, "what comes in headers is no query");
}

#[test]
fn the_rows_are_those_of_the_format() {
    let app = app([service()]);
    let ann = app.user("ann");
    created(&ann, json!({"name": "first"}));
    let at = created(&ann, json!({"name": "second"}));
    put(&ann, &at, &[("upload-complete", "?0")], &content(PIECE + 65));
    let store = app.host().store("Files").unwrap().clone();
    let rows = "SELECT group_concat(at || ':' || octet_length(bytes), ' ') FROM (SELECT * FROM pieces ORDER BY at)";
    let one = |sql: &'static str| -> String {
        store.read_blocking::<_, monolite_store::Error, _>(move |s| s.query_row(sql, [], |r| r.get(0))).unwrap()
    };
    assert_eq!(one(rows), format!("{}:65536 {}:65", 3 << 18, (3 << 18) + 1));
    let file = "SELECT value || ' ' || received || ' ' || octet_length(hash) FROM files WHERE name = 'second'";
    assert_eq!(one(file), format!("3 {} 33", PIECE + 65));
}
