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

/// Ten networks try the account to its end.
fn exhaust(w: &World, email: &str) {
    for n in 0..10 {
        for _ in 0..3 {
            assert_eq!(wrong(w, &format!("198.51.100.{n}"), email), "wrong_credentials");
        }
    }
}

fn rows(w: &World, table: &str) -> i64 {
    let count = format!("SELECT count(*) FROM {table}");
    let host = w.app.host();
    let rows: Result<i64, monolite_service::Failure> =
        host.store("UserSessions").unwrap().read_blocking(|s| Ok(s.query_row(&count, [], |row| row.get(0))?));
    rows.unwrap()
}

#[test]
fn an_account_is_tried_so_often_whether_there_is_somebody_or_not_and_then_once_a_refill() {
    let w = World::with(small());
    w.create("ann", Role::Member);
    for email in ["ann@example.com", "ANN@example.com", "Ann@Example.com"] {
        assert_eq!(wrong(&w, ELSEWHERE, email), "wrong_credentials");
    }
    let other = "203.0.113.1";
    for _ in 0..3 {
        assert_eq!(wrong(&w, other, "nobody@example.com"), "wrong_credentials");
    }
    let told = |from: &str, email: &str| {
        let caller = Caller::anonymous(Some(from.parse().unwrap()));
        let sign_in = SignIn { email: email.into(), password: PASSWORD.into() };
        *w.call(&caller, sign_in).unwrap_err().refusal().unwrap()
    };
    let ann = told(ELSEWHERE, "ann@example.com");
    assert_eq!(ann, SignInRefused::TooManyTries { retry_after_ms: 60_000 }, "the right one too");
    assert_eq!(ann, told(other, "nobody@example.com"));
    w.app.advance(Duration::from_secs(60));
    assert_eq!(wrong(&w, ELSEWHERE, "ann@example.com"), "wrong_credentials");
    assert_eq!(wrong(&w, ELSEWHERE, "ann@example.com"), "too_many_tries");
    w.app.advance(Duration::from_secs(60));
    assert_eq!(try_in(&w, ELSEWHERE, "ann@example.com", PASSWORD), "signed_in");
    assert_eq!(gauge(&w, "monolite_sign_in_refused_total", Some("account")), 3);
}

#[test]
fn one_network_that_never_stops_trying_locks_nobody_out_elsewhere() {
    let w = World::with(small());
    w.create("ann", Role::Member);
    let tries_for_twenty_minutes = (0..600).map(|_| {
        w.app.advance(Duration::from_secs(2));
        wrong(&w, ELSEWHERE, "ann@example.com")
    });
    let looked_at = tries_for_twenty_minutes.filter(|code| code == "wrong_credentials").count();
    assert!((4..=23).contains(&looked_at), "{looked_at}");
    assert_eq!(try_in(&w, "203.0.113.5", "ann@example.com", PASSWORD), "signed_in");
}

#[test]
fn an_account_is_bounded_over_all_networks() {
    let w = World::with(small());
    w.create("ann", Role::Member);
    exhaust(&w, "ann@example.com");
    let new_place = Caller::anonymous(Some("203.0.113.5".parse().unwrap()));
    let sign_in = || SignIn { email: "ann@example.com".into(), password: PASSWORD.into() };
    let refused = *w.call(&new_place, sign_in()).unwrap_err().refusal().unwrap();
    assert_eq!(refused, SignInRefused::TooManyTries { retry_after_ms: 6_000 });
    w.app.advance(Duration::from_secs(6));
    assert!(w.call(&new_place, sign_in()).is_ok());
}

#[test]
fn who_signed_in_from_a_place_lately_is_not_locked_out_there_by_others() {
    let w = World::with(small());
    w.create("ann", Role::Member);
    assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "signed_in");
    exhaust(&w, "ann@example.com");
    assert_eq!(try_in(&w, ELSEWHERE, "ann@example.com", PASSWORD), "too_many_tries");
    assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "signed_in");
    // There too a password is not guessed for long.
    let codes: Vec<_> = (0..4).map(|_| wrong(&w, HOME, "ann@example.com")).collect();
    assert_eq!(codes[2..], ["wrong_credentials", "too_many_tries"]);
    w.app.advance(Duration::from_secs(91 * 86_400));
    exhaust(&w, "ann@example.com");
    assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "too_many_tries", "that was long ago");
}

#[test]
fn an_address_is_bounded_over_all_accounts_and_ipv6_by_its_site() {
    let w = World::with(small());
    w.create("ann", Role::Member);
    for n in 0..5 {
        let from = format!("2001:db8:7:{n}00::{n}");
        assert_eq!(wrong(&w, &from, &format!("u{n}@example.com")), "wrong_credentials");
    }
    assert_eq!(try_in(&w, "2001:db8:7:ffff::1", "ann@example.com", PASSWORD), "too_many_tries");
    assert_eq!(try_in(&w, "2001:db8:8::1", "ann@example.com", PASSWORD), "signed_in");
    assert_eq!(gauge(&w, "monolite_sign_in_refused_total", Some("address")), 1);
    w.app.advance(Duration::from_secs(10));
    assert_eq!(try_in(&w, "2001:db8:7:ffff::1", "ann@example.com", PASSWORD), "signed_in");
}

#[test]
fn a_known_place_spends_the_address_too_and_has_its_last_quarter_alone() {
    let mut config = small();
    config.tries.address.tries = 8;
    let w = World::with(config);
    for n in 0..9 {
        w.create(&format!("u{n}"), Role::Member);
        assert_eq!(try_in(&w, HOME, &format!("u{n}@example.com"), PASSWORD), "signed_in");
    }
    // One password for every account that is known here.
    for n in 0..6 {
        assert_eq!(wrong(&w, HOME, &format!("u{n}@example.com")), "wrong_credentials");
    }
    assert_eq!(wrong(&w, HOME, "stranger@example.com"), "too_many_tries");
    assert_eq!(try_in(&w, HOME, "u8@example.com", PASSWORD), "signed_in");
    for n in 6..8 {
        assert_eq!(wrong(&w, HOME, &format!("u{n}@example.com")), "wrong_credentials");
    }
    assert_eq!(wrong(&w, HOME, "u8@example.com"), "too_many_tries");
}

#[test]
fn of_all_tries_a_half_is_for_networks_that_behave_and_a_quarter_for_known_places() {
    let mut config = small();
    config.tries.all = Bucket { tries: 8, refill: Duration::from_secs(2) };
    let w = World::with(config);
    w.create("ann", Role::Member);
    assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "signed_in");
    for n in 0..4 {
        assert_eq!(wrong(&w, ELSEWHERE, &format!("u{n}@example.com")), "wrong_credentials");
    }
    assert_eq!(wrong(&w, ELSEWHERE, "u4@example.com"), "too_many_tries");
    for n in 0..2 {
        assert_eq!(wrong(&w, &format!("203.0.113.{n}"), &format!("v{n}@example.com")), "wrong_credentials");
    }
    assert_eq!(wrong(&w, "203.0.113.50", "v50@example.com"), "too_many_tries");
    assert_eq!(gauge(&w, "monolite_sign_in_refused_total", Some("all")), 2);
    assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "signed_in");
    for _ in 0..2 {
        assert_eq!(wrong(&w, HOME, "ann@example.com"), "wrong_credentials");
    }
    assert_eq!(gauge(&w, "monolite_sign_in_tries_left", None), 0);
    assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "too_many_tries");
    w.app.advance(Duration::from_secs(2));
    assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "signed_in");
}

/// There everybody behind a proxy would be one neighbour of all others.
#[test]
fn the_loopback_address_is_no_place_and_tells_nothing_of_who_signed_in() {
    for loopback in ["127.0.0.1", "::1"] {
        let w = World::with(small());
        w.create("ann", Role::Member);
        assert_eq!(try_in(&w, loopback, "ann@example.com", PASSWORD), "signed_in");
        assert_eq!(rows(&w, "places"), 0);
        let codes = |email: &str| (0..31).map(|_| wrong(&w, loopback, email)).collect::<Vec<_>>();
        let of_ann = codes("ann@example.com");
        assert_eq!(of_ann[29..], ["wrong_credentials", "too_many_tries"]);
        assert_eq!(of_ann, codes("nobody@example.com"));
    }
}

#[test]
fn places_are_forgotten_by_age_and_hashed_under_a_key_of_the_file() {
    let places = || {
        let w = World::with(small());
        w.create("ann", Role::Member);
        assert_eq!(try_in(&w, HOME, "ann@example.com", PASSWORD), "signed_in");
        let host = w.app.host();
        let address: Result<Vec<u8>, monolite_service::Failure> = host
            .store("UserSessions")
            .unwrap()
            .read_blocking(|s| Ok(s.query_row("SELECT address FROM places", [], |row| row.get(0))?));
        (w, address.unwrap())
    };
    let ((w, one), (_, other)) = (places(), places());
    assert_ne!(one, other, "the same address in two files");
    let prune = || w.sys(super::super::tries::PruneTries {}).unwrap();
    w.app.advance(Duration::from_secs(89 * 86_400));
    prune();
    assert_eq!(rows(&w, "places"), 1);
    w.app.advance(Duration::from_secs(86_400));
    prune();
    assert_eq!(rows(&w, "places"), 0);
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
    assert_eq!(try_in(&w, ELSEWHERE, "ann@example.com", PASSWORD), "too_many_tries");
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
    assert_eq!(rows(&w, "tries"), 0);
    assert_eq!(gauge(&w, "monolite_sign_in_tries_left", None), 1000);
}

#[test]
fn over_http_it_is_429_with_the_time_to_wait() {
    let mut config = small();
    config.tries.account.tries = 1;
    let w = World::with(config);
    let sign_in = |email: &str| {
        w.app.http().post("/sessions", &serde_json::json!({"email": email, "password": "incorrect horse"}))
    };
    let statuses: Vec<_> = (0..11).map(|_| sign_in("ann@example.com").status).collect();
    assert_eq!(statuses[8..], [401, 401, 429]);
    let answer = sign_in("ann@example.com");
    let problem: serde_json::Value = answer.json();
    assert_eq!((&problem["code"], &problem["retryable"]), (&"too_many_tries".into(), &true.into()));
    assert_eq!(answer.header("retry-after"), Some("6"));
}
