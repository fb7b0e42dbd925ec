//! Who is calling: from the `Authorization` header to a caller, and what the caller may.
//!
//! **Invariants**
//! - A token that is given is always checked, also where anyone may come in: a bad one is never taken for nobody.
//! - Why a token is bad is not told.

use crate::problem::Problem;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use monolite_service::{Access, Caller};

/// Bytes of a token that is looked at.
const TOKEN_MAX: usize = 4096;

/// Who may use a route.
pub(crate) type Rule = Access;

/// The bearer token of a request, if it has one.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(first) = given.next() else { return Ok(None) };
    let text = first.to_str().ok().filter(|_| given.next().is_none());
    let (scheme, token) = text.and_then(|text| text.split_once(' ')).ok_or_else(unauthenticated)?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    let token = token.trim_matches(' ');
    let fits = !token.is_empty() && token.len() <= TOKEN_MAX && token.bytes().all(is_token);
    if !scheme.eq_ignore_ascii_case("bearer") || !fits {
        return Err(unauthenticated());
    }
    Ok(Some(token))
}

/// Whether the caller may use a route.
pub(crate) fn admit(caller: &Caller, rule: Rule) -> Result<(), Problem> {
    let signed_in = caller.is_system() || caller.user().is_some();
    match rule {
        Access::Anyone => Ok(()),
        _ if !signed_in => Err(unauthenticated()),
        Access::SignedIn => Ok(()),
        Access::Role(role) if caller.has_role(role) => Ok(()),
        Access::Role(_) => Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "this needs another role")),
    }
}

/// The answer to a missing, malformed, unknown, expired or ended token.
pub(crate) fn unauthenticated() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "sign in first")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(values: &[&str]) -> Result<Option<String>, u16> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        bearer(&headers).map(|token| token.map(str::to_owned)).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_bearer_token_is_read_and_everything_else_refused() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Bearer ms_abc-._~+/="]), Ok(Some("ms_abc-._~+/=".to_owned())));
        assert_eq!(read(&["bEARER  x"]), Ok(Some("x".to_owned())));
        for bad in ["", "Bearer", "Bearer ", "Basic abc", "Bearer a b", "Bearer a\"b", "Bearer é"] {
            assert_eq!(read(&[bad]), Err(401), "{bad}");
        }
        assert_eq!(read(&["Bearer a", "Bearer b"]), Err(401));
        assert_eq!(read(&[&format!("Bearer {}", "x".repeat(5000))]), Err(401));
    }
}
