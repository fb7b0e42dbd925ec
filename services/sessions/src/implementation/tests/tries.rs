//! Wrong passwords, again and again: from one place, from many, over restarts.

use super::*;
use crate::{Bucket, SignInRefused, Tries};
use std::net::IpAddr;
use std::time::Duration;

const HOME: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.7";

fn small() -> Config {
    let bucket = |tries, seconds| Bucket { tries, refill: Duration::from_secs(seconds) };
    let tries = Tries { account: bucket(3, 60), address: bucket(6, 10), all: bucket(1000, 1) };
    Config { tries, ..Config::default() }
}

/// The code of what a sign-in comes to: `signed_in`, or the refusal's.
fn try_in(w: &World, from: &str, email: &str, password: &str) -> String {
    let from: IpAddr = from.parse().unwrap();
    let sign_in = SignIn { email: email.into(), password: password.into() };
    match w.call(&Caller::anonymous(Some(from)), sign_in) {
        Ok(_) => "signed_in".into(),
        refused => code(refused),
    }
}

fn wrong(w: &World, from: &str, email: &str) -> String {
    try_in(w, from, email, "incorrect horse")
}

fn gauge(w: &World, name: &str, label: Option<&str>) -> u64 {
    let host = w.app.host();
    let of = |g: &&(&str, monolite_service::Gauge)| g.1.name == name && g.1.label.map(|(_, value)| value) == label;
    host.gauges().iter().find(of).expect("a gauge").1.read()
}

#[test]
fn an_account_is_tried_so_often_whether_there_is_somebody_or_not_and_then_once_a_refill() {
    let w = World::with(small());
    w.create("ann", Role::Member);
    for email in ["ann@example.com", "ANN@example.com", "Ann@Example.com"] {
        assert_eq!(wrong(&w, ELSEWHERE, email), "wrong_credentials");
    }
    for n in 0..3 {
        assert_eq!(wrong(&w, &format!("203.0.113.{n}"), "nobody@example.com"), "wrong_credentials");
    }
    let told = |email: &str| {
        let caller = Caller::anonymous(Some("203.0.113.99".parse().unwrap()));
        let sign_in = SignIn { email: email.into(), password: PASSWORD.into() };
        *w.call(&caller, sign_in).unwrap_err().refusal().unwrap()
    };
    assert_eq!(told("ann@example.com"), SignInRefused::TooManyTries { retry_after_ms: 60_000 }, "the right one too");
    assert_eq!(told("ann@example.com"), told("nobody@example.com"));
    w.app.advance(Duration::from_secs(60));
    assert_eq!(wrong(&w, ELSEWHERE, "ann@example.com"), "wrong_credentials");
    assert_eq!(wrong(&w, ELSEWHERE, "ann@example.com"), "too_many_tries");
    w.app.advance(Duration::from_secs(60));
    assert_eq!(try_in(&w, ELSEWHERE, "ann@example.com", PASSWORD), "signed_in");
    assert_eq!(gauge(&w, "monolite_sign_in_refused_total", Some("account")), 4);
}

#[test]
fn who_signed_in_from_a_place_lately_is_not_locked_out_there_by_others() {
    let w = World::with(small());
    w.create("ann", Role::Member);
    assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "signed_in");
    for _ in 0..3 {
        wrong(&w, ELSEWHERE, "ann@example.com");
    }
    assert_eq!(try_in(&w, ELSEWHERE, "ann@example.com", PASSWORD), "too_many_tries");
    assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "signed_in");
    // There too a password is not guessed for long.
    let codes: Vec<_> = (0..4).map(|_| wrong(&w, HOME, "ann@example.com")).collect();
    assert_eq!(codes[2..], ["wrong_credentials", "too_many_tries"]);
    w.app.advance(Duration::from_secs(91 * 86_400));
    for _ in 0..3 {
        wrong(&w, ELSEWHERE, "ann@example.com");
    }
    assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "too_many_tries", "that was long ago");
}

#[test]
fn an_address_is_bounded_over_all_accounts_and_ipv6_by_its_network() {
    let w = World::with(small());
    w.create("ann", Role::Member);
    for n in 0..6 {
        let from = format!("2001:db8:0:7::{n}");
        assert_eq!(wrong(&w, &from, &format!("u{n}@example.com")), "wrong_credentials");
    }
    assert_eq!(try_in(&w, "2001:db8:0:7::ffff", "ann@example.com", PASSWORD), "too_many_tries");
    assert_eq!(try_in(&w, "2001:db8:0:8::1", "ann@example.com", PASSWORD), "signed_in");
    assert_eq!(gauge(&w, "monolite_sign_in_refused_total", Some("address")), 1);
    w.app.advance(Duration::from_secs(10));
    assert_eq!(try_in(&w, "2001:db8:0:7::ffff", "ann@example.com", PASSWORD), "signed_in");
}

#[test]
fn all_together_are_bounded_but_for_those_at_their_places() {
    let mut config = small();
    config.tries.all = Bucket { tries: 5, refill: Duration::from_secs(2) };
    let w = World::with(config);
    w.create("ann", Role::Member);
    assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "signed_in");
    for n in 0..5 {
        assert_eq!(wrong(&w, &format!("203.0.113.{n}"), &format!("u{n}@example.com")), "wrong_credentials");
    }
    assert_eq!(gauge(&w, "monolite_sign_in_tries_left", None), 0);
    assert_eq!(wrong(&w, "203.0.113.50", "u50@example.com"), "too_many_tries");
    assert_eq!(gauge(&w, "monolite_sign_in_refused_total", Some("all")), 1);
    assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "signed_in");
}

#[test]
fn a_crash_forgets_no_try_and_no_place() {
    let w = World::with(small());
    w.create("ann", Role::Member);
    assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "signed_in");
    for _ in 0..3 {
        wrong(&w, ELSEWHERE, "ann@example.com");
    }
    w.app.kill_and_restart();
    assert_eq!(try_in(&w, "203.0.113.5", "ann@example.com", PASSWORD), "too_many_tries");
    assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "signed_in");
}

#[test]
fn a_good_sign_in_costs_no_try() {
    let w = World::with(small());
    w.create("ann", Role::Member);
    for _ in 0..20 {
        assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "signed_in");
        let nowhere = SignIn { email: "ann@example.com".into(), password: PASSWORD.into() };
        assert!(w.call(&Caller::anonymous(None), nowhere).is_ok());
    }
}

#[test]
fn a_refused_try_writes_nothing_and_full_buckets_are_forgotten() {
    let w = World::with(small());
    for _ in 0..3 {
        wrong(&w, ELSEWHERE, "ann@example.com");
    }
    let sequence = || w.app.host().store("UserSessions").unwrap().sequence();
    let before = sequence();
    assert_eq!(wrong(&w, ELSEWHERE, "ann@example.com"), "too_many_tries");
    assert_eq!(sequence(), before);
    w.app.advance(Duration::from_secs(3600));
    w.sys(super::super::tries::PruneTries {}).unwrap();
    let host = w.app.host();
    let rows: Result<i64, monolite_service::Failure> = host
        .store("UserSessions")
        .unwrap()
        .read_blocking(|s| Ok(s.query_row("SELECT count(*) FROM tries", [], |row| row.get(0))?));
    assert_eq!(rows.unwrap(), 0);
    assert_eq!(gauge(&w, "monolite_sign_in_tries_left", None), 1000);
}

#[test]
fn over_http_it_is_429_with_the_time_to_wait() {
    let w = World::with(small());
    let sign_in = |email: &str| {
        w.app.http().post("/sessions", &serde_json::json!({"email": email, "password": "incorrect horse"}))
    };
    let statuses: Vec<_> = (0..4).map(|_| sign_in("ann@example.com").status).collect();
    assert_eq!(statuses, [401, 401, 401, 429]);
    let answer = sign_in("ann@example.com");
    let problem: serde_json::Value = answer.json();
    assert_eq!((&problem["code"], &problem["retryable"]), (&"too_many_tries".into(), &true.into()));
    assert_eq!(answer.header("retry-after"), Some("60"));
}
