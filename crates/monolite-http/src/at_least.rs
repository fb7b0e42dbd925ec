//! `Monolite-At-Least: Users=123, Documents=77`: a request waits until these files have these commits.
//!
//! The numbers are those of `Monolite-Commit`. In the process that answered them they are there already; the header is for
//! readers of another one. So a number that does not come is of another history, or nobody's; unless the file is being
//! replaced, which is to be tried again.
//!
//! **Invariants**
//! - Nothing of the request runs before; the wait is bounded, and its end is a problem that says where the file stands.

use crate::headers::MONOLITE_AT_LEAST;
use crate::problem::Problem;
use crate::status::away;
use http::{HeaderMap, HeaderName, StatusCode};
use monolite_runtime::Host;
use std::time::{Duration, Instant};

/// The longest wait; a request's own time ends it before.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Waits for the commits that a request names, until a moment at most.
#[inline]
pub(crate) async fn wait(headers: &HeaderMap, host: &Host, until: Instant) -> Result<(), Problem> {
    if !headers.contains_key(MONOLITE_AT_LEAST) {
        return Ok(());
    }
    wait_for(headers, host, until.min(Instant::now() + WAIT_MAX)).await
}

async fn wait_for(headers: &HeaderMap, host: &Host, until: Instant) -> Result<(), Problem> {
    for (service, sequence) in pairs(headers, MONOLITE_AT_LEAST, host)? {
        let Some(store) = host.store(service) else { continue };
        if !store.is_open() {
            return Err(away(service));
        }
        if tokio::time::timeout_at(until.into(), store.reaches(sequence)).await.is_err() {
            if !store.is_open() {
                return Err(away(service)); // its file was taken away meanwhile; the next one may have it
            }
            let detail = format!(
                "{service} is at commit {}, not at {sequence}: that number is of another history, or no write answered it",
                store.sequence()
            );
            return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "not_reached", detail).of_service(service));
        }
    }
    Ok(())
}

/// The commits that a header names, of services that are here.
pub(crate) fn pairs(headers: &HeaderMap, header: HeaderName, host: &Host) -> Result<Vec<(&'static str, u64)>, Problem> {
    let mut named = Vec::new();
    for value in headers.get_all(&header) {
        let text = value.to_str().map_err(|_| malformed(header.clone(), "it is not text"))?;
        for pair in text.split(',') {
            let (service, sequence) = parsed(pair.trim())
                .ok_or_else(|| malformed(header.clone(), "it is a list such as Users=123, Documents=77"))?;
            let known = host.services().find(|name| *name == service);
            let known = known.ok_or_else(|| malformed(header.clone(), &format!("there is no service {service}")))?;
            named.push((known, sequence));
        }
    }
    Ok(named)
}

/// `Users=123`.
fn parsed(pair: &str) -> Option<(&str, u64)> {
    pair.split_once('=').and_then(|(service, number)| Some((service.trim(), digits(number.trim())?)))
}

fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

pub(crate) fn malformed(header: HeaderName, why: &str) -> Problem {
    let (code, name) = match header == MONOLITE_AT_LEAST {
        true => ("malformed_at_least", "Monolite-At-Least"),
        false => ("malformed_archived", "Monolite-Archived"),
    };
    Problem::new(StatusCode::BAD_REQUEST, code, format!("{name}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_names_and_plain_numbers() {
        assert_eq!(parsed("Users=123"), Some(("Users", 123)));
        assert_eq!(parsed("Users = 0"), Some(("Users", 0)));
        for wrong in ["", "Users", "Users=", "Users=+1", "Users=-1", "Users=1.5", "Users=18446744073709551616", "=x"] {
            assert!(parsed(wrong).is_none(), "{wrong}");
        }
    }
}
