//! Who a request is from, behind proxies and beside them.

use crate::world::{World, world, world_with};
use monolite_http::HttpConfig;

fn behind(trusted: &str) -> World {
    world_with(HttpConfig { trusted_proxies: trusted.parse().unwrap(), ..HttpConfig::default() })
}

/// Whom a handler of the program takes for the client, and for whom a service's flow is called.
fn seen(w: &World, headers: &[&str]) -> [String; 2] {
    let of_service = w.send("GET /api/v1/whence", headers, b"");
    [w.send("GET /own/peer", headers, b"").body, of_service.json()["address"].as_str().unwrap().to_owned()]
}

#[test]
fn a_peer_that_is_not_trusted_cannot_say_who_it_is() {
    for w in [world(), behind("10.0.0.0/8, ::1")] {
        for spoofed in ["X-Forwarded-For: 203.0.113.9", "x-forwarded-for: 10.0.0.1", "X-Real-IP: 203.0.113.9"] {
            assert_eq!(seen(&w, &[spoofed]), ["127.0.0.1"; 2], "{spoofed}");
        }
    }
}

#[test]
fn a_trusted_proxy_says_who_the_client_is_and_the_client_adds_nothing() {
    let w = behind("127.0.0.1, 10.0.0.0/8");
    assert_eq!(seen(&w, &[]), ["127.0.0.1"; 2]);
    assert_eq!(seen(&w, &["X-Forwarded-For: 203.0.113.9"]), ["203.0.113.9"; 2]);
    assert_eq!(seen(&w, &["X-Forwarded-For: 198.51.100.1, 203.0.113.9, 10.0.0.1"]), ["203.0.113.9"; 2]);
    assert_eq!(seen(&w, &["X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 203.0.113.9"]), ["203.0.113.9"; 2]);
    assert_eq!(seen(&w, &["X-Forwarded-For: 203.0.113.9, nonsense"]), ["127.0.0.1"; 2]);
    let signed_in = ["X-Forwarded-For: 203.0.113.9", "authorization: Bearer ann"];
    assert_eq!(seen(&w, &signed_in), ["203.0.113.9"; 2]);
}
