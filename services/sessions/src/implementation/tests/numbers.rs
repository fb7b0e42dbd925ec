//! What authenticating costs. Not run with the others:
//! `cargo test --release -p monolite-sessions -- --ignored --nocapture numbers`.

use std::hint::black_box;
use std::time::Instant;

use super::*;
use crate::{SessionOfToken, TokenHash};
use monolite_service::params;
use monolite_users::AccountState;

const OTHERS: u32 = 100_000;
const ROUNDS: usize = 100_000;

/// Median and 99th percentile of one run, in microseconds.
fn measure(what: &str, run: impl FnMut()) {
    measure_rounds(what, ROUNDS, run);
}

fn measure_rounds(what: &str, rounds: usize, mut run: impl FnMut()) {
    for _ in 0..rounds / 100 {
        run();
    }
    let mut took: Vec<u64> = (0..rounds)
        .map(|_| {
            let began = Instant::now();
            run();
            began.elapsed().as_nanos() as u64
        })
        .collect();
    took.sort_unstable();
    let us = |n: usize| took[n] as f64 / 1_000.0;
    println!("{what:<44} median {:8.2} us   p99 {:8.2} us", us(rounds / 2), us(rounds * 99 / 100));
}

fn crowd(w: &World) {
    let fill = |service: &str, sql: &'static str| {
        let host = w.app.host();
        let filled: Result<usize, monolite_service::Failure> =
            host.store(service).unwrap().write_blocking(move |tx| Ok(tx.execute(sql, params![OTHERS])?));
        filled.unwrap();
    };
    fill(
        "Users",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
         INSERT INTO users(id, role, email, name, created_at, changed_at) \
         SELECT randomblob(16), 'member', 'u' || i || '@example.com', 'User ' || i, 0, 0 FROM n",
    );
    fill(
        "UserSessions",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
         INSERT INTO sessions SELECT randomblob(32), randomblob(16), randomblob(16), 1, 9e12, 9e12, 0 FROM n",
    );
}

#[test]
#[ignore = "measures, and asserts nothing"]
fn numbers_of_authenticating() {
    let w = World::new();
    crowd(&w);
    let signed_in = w.sign_in(&w.create("ann", Role::Member));
    let token = signed_in.token.expose();
    let (host, system) = (w.app.host(), Caller::system());
    let hash = TokenHash::of(token).unwrap();
    println!("{OTHERS} other users and sessions, {ROUNDS} rounds each, one thread, warm");
    measure("hash of the token", || {
        black_box(TokenHash::of(black_box(token)));
    });
    let store = host.store("UserSessions").unwrap();
    measure("store.read_blocking: the session's row", || {
        let read: Result<i64, monolite_service::Failure> = store.read_blocking(|s| {
            Ok(s.query_row(super::super::session_of_token::GRANT, params![hash.as_bytes()], |row| row.get(2))?)
        });
        black_box(read.unwrap());
    });
    measure("host.call: session of the token", || {
        black_box(host.call_blocking(&system, SessionOfToken { token: hash }).unwrap());
    });
    measure("host.call: account's state", || {
        black_box(host.call_blocking(&system, AccountState { id: signed_in.user.id }).unwrap());
    });
    let flow = host.flow(&system);
    let credentials = Credentials { bearer: Some(token.into()), address: "192.0.2.7".parse().ok() };
    let bearer = super::super::bearer();
    measure("authenticate", || {
        let who = bearer.authenticate(&flow, &credentials);
        black_box(block_on(who).unwrap());
    });
    let wrong =
        Credentials { bearer: Some(crate::Token::random().unwrap().into_secret().expose().into()), address: None };
    measure("authenticate, a token never issued", || {
        black_box(block_on(bearer.authenticate(&flow, &wrong)).unwrap_err());
    });
}

#[test]
#[ignore = "measures, and asserts nothing"]
fn numbers_of_signing_in_and_of_touches() {
    let w = World::with_cost(Config::default(), monolite_users::Cost::default());
    crowd(&w);
    let ann = w.create("ann", Role::Member);
    measure_rounds("sign in, argon2id 46 MiB 1 pass", 100, || drop(black_box(w.sign_in(&ann))));
    let host = w.app.host();
    let tokens: Vec<TokenHash> = {
        let all: Result<Vec<[u8; 32]>, monolite_service::Failure> =
            host.store("UserSessions").unwrap().read_blocking(|s| {
                let mut statement = s.prepare("SELECT token_hash FROM sessions ORDER BY id LIMIT 4096")?;
                Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
            });
        all.unwrap().into_iter().map(|bytes| serde_json::from_value(bytes.to_vec().into()).unwrap()).collect()
    };
    let mut at = 9_000_000_000_000;
    let round = |sessions: usize, at: i64| {
        tokens[..sessions].iter().for_each(|&token| w.touches.note(token, Millis(at)));
        w.write_touches();
    };
    for (what, sessions) in [("touches of 64 sessions", 64), ("touches of 512", 512), ("touches of 4,096", 4_096)] {
        measure_rounds(what, 100, || {
            at += 1;
            round(sessions, at);
        });
    }
}
