//! `Monolite-At-Least: Users=123, Documents=77`: a request waits until these files have these commits.
//!
//! The numbers are those of `Monolite-Commit`. In the process that answered them they are there already; the header is for
//! readers of another one. So a number that does not come is of another history, or nobody's.
//!
//! **Invariants**
//! - Nothing of the request runs before; the wait is bounded, and its end is a problem that says where the file stands.

use crate::headers::MONOLITE_AT_LEAST;
use crate::problem::Problem;
use http::{HeaderMap, StatusCode};
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
    for value in headers.get_all(MONOLITE_AT_LEAST) {
        let text = value.to_str().map_err(|_| malformed("it is not text"))?;
        for pair in text.split(',') {
            let (service, sequence) = parsed(pair.trim())?;
            let known = host.services().find(|name| *name == service);
            let Some((service, store)) = known.and_then(|name| Some((name, host.store(name)?))) else {
                return Err(malformed(&format!("there is no service {service}")));
            };
            if tokio::time::timeout_at(until.into(), store.reaches(sequence)).await.is_err() {
                let detail = format!(
                    "{service} is at commit {}, not at {sequence}: that number is of another history, or no write answered it",
                    store.sequence()
                );
                return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "not_reached", detail).of_service(service));
            }
        }
    }
    Ok(())
}

/// `Users=123`.
fn parsed(pair: &str) -> Result<(&str, u64), Problem> {
    let both = pair.split_once('=').and_then(|(service, number)| Some((service.trim(), digits(number.trim())?)));
    both.ok_or_else(|| malformed("it is a list such as Users=123, Documents=77"))
}

fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn malformed(why: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_at_least", format!("Monolite-At-Least: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_names_and_plain_numbers() {
        assert_eq!(parsed("Users=123").ok(), Some(("Users", 123)));
        assert_eq!(parsed("Users = 0").ok(), Some(("Users", 0)));
        for wrong in ["", "Users", "Users=", "Users=+1", "Users=-1", "Users=1.5", "Users=18446744073709551616", "=x"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
