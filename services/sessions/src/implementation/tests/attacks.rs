//! What attackers show as a token, and what must never be seen.

use super::*;
use crate::{SessionOfToken, Token, TokenHash};

#[test]
fn whatever_is_no_issued_token_is_one_refusal() {
    let w = World::new();
    let signed_in = w.sign_in(&w.create("ann", Role::Member));
    let good = signed_in.token.expose();
    let never_issued = Token::random().unwrap().into_secret();
    let id = signed_in.session.id.to_string();
    let padded = format!("{good}=");
    let spaced = format!(" {good}");
    let wrong = [
        "",
        "mono_",
        "null",
        "undefined",
        &id,
        &padded,
        &spaced,
        &good[1..],
        &good[..47],
        never_issued.expose(),
        &good.to_uppercase(),
        "' OR 1=1 --",
        "mono_' OR 1=1 --aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "\0",
        "🦀",
        &"A".repeat(1 << 20),
    ];
    for token in wrong {
        let error = w.recognise(token).unwrap_err();
        assert_eq!(error.refusal(), Some(&monolite_service::Refused::Unauthenticated), "{token:.60?}");
    }
    assert!(w.holds(&signed_in));
}

#[test]
fn a_token_with_any_one_character_changed_is_refused() {
    let w = World::new();
    let signed_in = w.sign_in(&w.create("ann", Role::Member));
    let good = signed_in.token.expose();
    for place in 0..good.len() {
        let mut text: Vec<u8> = good.bytes().collect();
        text[place] = if text[place] == b'x' { b'y' } else { b'x' };
        assert!(w.recognise(std::str::from_utf8(&text).unwrap()).is_err(), "character {place}");
    }
}

#[test]
fn no_file_holds_a_token_but_its_hash() {
    let w = World::new();
    let token = w.sign_in(&w.create("ann", Role::Member)).token;
    w.app.host().shutdown().unwrap();
    let hash = TokenHash::of(token.expose()).unwrap();
    let has = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|w| w == part);
    let mut hashes = 0;
    for file in std::fs::read_dir(w.app.folder().join("UserSessions")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!has(&bytes, &token.expose().as_bytes()[5..]));
        hashes += usize::from(has(&bytes, hash.as_bytes()));
    }
    assert!(hashes > 0, "the hash is where the token is not");
}

#[test]
fn no_debug_or_refusal_shows_a_token_or_a_password() {
    let w = World::new();
    let ann = w.create("ann", Role::Member);
    let signed_in = w.sign_in(&ann);
    let hash = TokenHash::of(signed_in.token.expose()).unwrap();
    let bytes = format!("{:?}", hash.as_bytes());
    let wrong = SignIn { email: ann.email, password: "canary-1c9e-password".into() };
    let texts = [
        format!("{signed_in:?} {:?}", SessionOfToken { token: hash }),
        format!("{wrong:?} {:?}", w.sys(wrong.clone())),
        format!("{:?}", w.recognise(&format!("{}x", signed_in.token.expose()))),
        format!("{:?}", w.recognise(signed_in.token.expose())),
    ];
    for text in texts {
        assert!(!text.contains(&signed_in.token.expose()[5..20]) && !text.contains("canary"), "{text}");
        assert!(!text.contains(bytes.trim_matches(['[', ']'])), "{text}");
    }
}
