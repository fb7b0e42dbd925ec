//! The routes of UserSessions, with the program's own authenticator.

use super::*;
use serde_json::{Value, json};

#[test]
fn signing_in_answers_a_token_a_session_and_the_user() {
    let w = World::new();
    let ann = w.create("ann", Role::Member);
    let signed_in = w.app.http().post("/sessions", &json!({"email": "ANN@example.com", "password": PASSWORD}));
    assert_eq!(signed_in.status, 201, "{}", signed_in.text());
    assert_eq!(signed_in.header("location"), Some("/api/v1/sessions/current"));
    let body: Value = signed_in.json();
    let mut names: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["session", "token", "user"]);
    assert_eq!(body["user"], serde_json::to_value(&ann).unwrap());
    assert_eq!(body["session"]["user_id"], body["user"]["id"]);
    let me = w.app.http().bearer(body["token"].as_str().unwrap());
    assert_eq!(me.get("/sessions/current").json::<Value>(), body["session"]);
    assert_eq!(me.get("/sessions").json::<Value>(), json!({"items": [body["session"]]}));
    assert_eq!(me.get(&format!("/users/{}", ann.id)).json::<Value>(), body["user"]);
}

#[test]
fn a_session_ended_over_http_is_over() {
    let w = World::new();
    let ann = w.create("ann", Role::Member);
    let all: Vec<_> = (0..4).map(|_| w.sign_in(&ann)).collect();
    let http = |n: usize| w.app.http().bearer(all[n].token.expose());
    assert_eq!(http(0).delete("/sessions/current").status, 204);
    assert_eq!(http(0).get("/sessions/current").status, 401);
    assert_eq!(http(1).delete(&format!("/sessions/{}", all[2].session.id)).status, 204);
    assert_eq!(http(1).delete(&format!("/sessions/{}", all[2].session.id)).status, 404);
    assert_eq!(http(2).get("/sessions/current").status, 401);
    assert_eq!(http(1).delete("/sessions").status, 204);
    assert_eq!((http(1).get("/sessions/current").status, http(3).get("/sessions").status), (401, 401));
}

#[test]
fn missing_wrong_expired_and_ended_tokens_are_401_with_one_body() {
    let w = World::new();
    let ann = w.create("ann", Role::Member);
    let (ended, expired) = (w.sign_in(&ann), w.sign_in(&ann));
    let path = "/sessions/current";
    assert_eq!(w.app.http().bearer(ended.token.expose()).delete(path).status, 204);
    w.app.advance(monolite_service::days(40));
    let never = crate::Token::random().unwrap().into_secret();
    let mut bodies = Vec::new();
    for token in [ended.token.expose(), expired.token.expose(), never.expose(), "test-ann", "x"] {
        let answer = w.app.http().bearer(token).get(path);
        assert_eq!(answer.status, 401, "{token}");
        let body: Value = answer.json();
        bodies.push((body["code"].clone(), body["detail"].clone()));
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(w.app.http().get(path).status, 401);
}

#[test]
fn wrong_credentials_are_one_answer_without_a_secret() {
    let w = World::new();
    w.create("ann", Role::Member);
    let answer = |email: &str| {
        let answer = w.app.http().post("/sessions", &json!({"email": email, "password": "canary-55-password"}));
        assert_eq!(answer.status, 401);
        let mut body: Value = answer.json();
        assert_eq!(body["code"], "wrong_credentials");
        assert!(!answer.text().contains("canary") && !answer.text().contains(email), "{}", answer.text());
        for own in ["trace", "trace_id", "instance"] {
            body.as_object_mut().unwrap().remove(own);
        }
        body
    };
    assert_eq!(answer("ann@example.com"), answer("nobody@example.com"));
}

/// The time of a look-up is some microseconds longer where there is somebody, and `Server-Timing` says microseconds.
#[test]
fn no_header_tells_whether_there_is_somebody_of_this_address() {
    let w = World::new();
    w.create("ann", Role::Member);
    let headers = |email: &str| {
        let answer = w.app.http().post("/sessions", &json!({"email": email, "password": "incorrect horse"}));
        assert_eq!(answer.status, 401);
        let mut headers = answer.headers.clone();
        for different_each_time in ["traceparent", "date"] {
            headers.remove(different_each_time);
        }
        headers
    };
    assert_eq!(headers("ann@example.com"), headers("nobody@example.com"));
    assert_eq!(headers("ann@example.com")["server-timing"], "db;dur=0;desc=\"0 statements\"");
}

#[test]
fn no_cache_keeps_a_token() {
    let w = World::new();
    w.create("ann", Role::Member);
    let answer = w.app.http().post("/sessions", &json!({"email": "ann@example.com", "password": PASSWORD}));
    assert_eq!((answer.status, answer.header("cache-control")), (201, Some("no-store")));
}

#[test]
fn what_is_private_has_no_route() {
    let w = World::new();
    let host = w.app.host();
    let served: Vec<&str> = host.routes().iter().map(|r| r.message.rsplit('.').next().unwrap()).collect();
    for private in ["SessionOfToken", "BeginSession", "WriteTouches", "TouchSessions", "PruneSessions", "AccountState"]
    {
        assert!(!served.contains(&private), "{private}");
    }
}
