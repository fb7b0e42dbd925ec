//! Tokens: what a client shows to be recognised.
//!
//! A token is `mono_` and the unpadded base64url of 32 bytes from the system's random numbers: 48 characters, one block
//! of SHA-256. The prefix lets a secret scanner recognise a leaked one.
//!
//! **Invariants**
//! - Only the SHA-256 of a token is stored or compared. The token has 256 random bits, so a fast hash is enough, and
//!   the time of a look-up by hash tells nothing of use about any token.
//! - `Debug` shows neither a token nor its hash.

use std::fmt;

use monolite_service::Failure;
use monolite_users::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How every token begins.
pub const TOKEN_PREFIX: &str = "mono_";

const RANDOM_BYTES: usize = 32;
const TEXT_BYTES: usize = TOKEN_PREFIX.len() + 43;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A token, as its client holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Secret);

/// The SHA-256 of a token: what is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TokenHash([u8; 32]);

impl Token {
    /// A new token, from the system's random numbers.
    pub fn random() -> Result<Token, Failure> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)
            .map_err(|e| Failure::internal(format!("the system gives no random bytes: {e}")))?;
        Ok(Token(Secret::new(written(&random))))
    }

    /// The hash to store.
    pub fn hash(&self) -> TokenHash {
        TokenHash::digest(self.0.expose())
    }

    /// The text, for the client.
    pub fn into_secret(self) -> Secret {
        self.0
    }
}

impl TokenHash {
    /// The hash of a text that has the form of a token, or `None`: no look-up is worth it.
    pub fn of(text: &str) -> Option<TokenHash> {
        let random = text.strip_prefix(TOKEN_PREFIX)?;
        let well =
            text.len() == TEXT_BYTES && random.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        well.then(|| TokenHash::digest(text))
    }

    /// The bytes, as in the file.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn digest(text: &str) -> TokenHash {
        TokenHash(Sha256::digest(text.as_bytes()).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// The prefix and unpadded base64url (RFC 4648, section 5).
fn written(random: &[u8; RANDOM_BYTES]) -> String {
    let mut text = String::with_capacity(TEXT_BYTES);
    text.push_str(TOKEN_PREFIX);
    for three in random.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(bits);
        for sextet in 0..=three.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * sextet)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_is_recognised_by_its_hash() {
        let token = Token::random().unwrap();
        let text = token.clone().into_secret();
        assert_eq!(TokenHash::of(text.expose()), Some(token.hash()));
        assert!(text.expose().starts_with("mono_") && text.expose().len() == 48);
        assert_ne!(Token::random().unwrap(), token);
    }

    #[test]
    fn base64url_is_that_of_the_standard() {
        let ends = |byte: u8| written(&[byte; 32]);
        assert_eq!(ends(0), format!("mono_{}", "A".repeat(43)));
        assert_eq!(ends(0xff), format!("mono_{}8", "_".repeat(42)));
        let mut counting = [0; 32];
        counting.iter_mut().enumerate().for_each(|(n, byte)| *byte = n as u8);
        assert_eq!(written(&counting), "mono_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    }

    #[test]
    fn what_has_not_the_form_of_a_token_is_not_even_hashed() {
        let good = Token::random().unwrap().into_secret();
        let good = good.expose();
        let long = format!("{good}A");
        let swapped = good.replacen("mono_", "nomo_", 1);
        for text in [
            "",
            "mono_",
            &good[..47],
            &long,
            &swapped,
            "mono_' OR 1=1 --                              ",
            &"mono_\u{e9}".repeat(7),
        ] {
            assert!(TokenHash::of(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn debug_shows_neither_token_nor_hash() {
        let token = Token::random().unwrap();
        let shown = format!("{:?} {:?} {:?}", token, token.hash(), Some(token.clone().into_secret()));
        assert_eq!(shown, "Token(..) TokenHash(..) Some(Secret(..))");
    }

    proptest! {
        #[test]
        fn two_random_arrays_have_two_texts_of_the_form_of_a_token(one: [u8; 32], two: [u8; 32]) {
            prop_assert!(TokenHash::of(&written(&one)).is_some());
            prop_assert_eq!(written(&one) == written(&two), one == two);
        }

        #[test]
        fn any_text_is_answered_without_a_panic(text in "\\PC{0,60}|mono_\\PC{0,45}") {
            let _ = TokenHash::of(&text);
        }
    }
}
