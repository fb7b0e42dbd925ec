//! Answers that wait for the archive: `archive.ack = "archived"`, and `Monolite-Archived` on any request.
//!
//! A change is durable on this machine before its answer leaves. Where the archive is waited for too, the answer leaves
//! once every commit that the request made is there. If that takes too long the answer is 504 `not_archived`: the change
//! is done and must not be sent again, so it is neither 503, which clients repeat, nor a success, which it was not asked to be.
//!
//! **Invariants**
//! - No thread waits, and no writer: many requests wait for one segment.
//! - The wait is bounded, and its end says what was done and how to ask for the rest.

use crate::answer::located;
use crate::at_least::{malformed, pairs};
use crate::conditional::tag;
use crate::edge::Inner;
use crate::exchange::Exchange;
use crate::headers::{MONOLITE_ARCHIVED, MONOLITE_COMMIT};
use crate::problem::Problem;
use crate::status::away;
use http::header::{ETAG, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use monolite_runtime::{Answer, Host, Tally};
use monolite_service::BoxFuture;
use monolite_service::engine::Commit;
use std::fmt;
use std::time::{Duration, Instant};

/// The archive, as answers wait for it.
pub trait Archived: fmt::Debug + Send + Sync {
    /// Whether changes of this service are answered once they are archived.
    fn is_awaited(&self, service: &str) -> bool;

    /// Ends once the archive has this commit, or with the reason why it never will; it has no time limit of its own.
    fn reaches(&self, service: &str, sequence: u64) -> BoxFuture<'static, Result<(), String>>;

    /// The longest wait of one answer.
    fn wait_max(&self) -> Duration;
}

/// Waits until what a request wrote is archived, where that is waited for.
#[inline]
pub(crate) async fn acknowledge(of: &Exchange<'_>, answer: &Answer, fork: Option<u32>) -> Result<(), Problem> {
    match &of.inner.archived {
        Some(archive) => written(&**archive, of.tally, answer, fork).await,
        None => Ok(()),
    }
}

async fn written(archive: &dyn Archived, tally: &Tally, answer: &Answer, fork: Option<u32>) -> Result<(), Problem> {
    let mut commits = tally.commits();
    commits.retain(|commit| archive.is_awaited(commit.service));
    if commits.is_empty() {
        return Ok(());
    }
    let until = Instant::now() + archive.wait_max();
    for commit in &commits {
        if let Err(why) = reached(archive, commit, until).await {
            let mut problem = not_archived(
                commit,
                why,
                "the change is done and on this machine's disk: do not send it again. Monolite-Archived on any request, with what \
                 Monolite-Commit says here, waits for the rest",
            );
            if let Some(commits) = listed(&commits) {
                problem = problem.with_header(MONOLITE_COMMIT, commits);
            }
            if let Some(version) = answer.version {
                problem = problem.with_header(ETAG, tag(version, fork));
            }
            if let Some(location) = &answer.location {
                problem = problem.with_header(LOCATION, located(location));
            }
            return Err(problem);
        }
    }
    Ok(())
}

/// Waits until what `Monolite-Archived` names is archived; nothing of the request ran before.
#[inline]
pub(crate) async fn wait(headers: &HeaderMap, host: &Host, inner: &Inner) -> Result<(), Problem> {
    if headers.contains_key(MONOLITE_ARCHIVED) { named(headers, host, inner).await } else { Ok(()) }
}

async fn named(headers: &HeaderMap, host: &Host, inner: &Inner) -> Result<(), Problem> {
    let Some(archive) = &inner.archived else {
        return Err(malformed(MONOLITE_ARCHIVED, "nothing is archived here"));
    };
    let until = Instant::now() + archive.wait_max();
    for (service, sequence) in pairs(headers, MONOLITE_ARCHIVED, host)? {
        let Some(store) = host.store(service) else { continue };
        if !store.is_open() {
            return Err(away(service)); // it has no number now that could be compared
        }
        let at = store.sequence();
        if sequence > at {
            let detail = format!("{service} is at commit {at}, not at {sequence}: that number is of another history");
            return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "not_reached", detail).of_service(service));
        }
        let commit = Commit { service, sequence };
        if let Err(why) = reached(&**archive, &commit, until).await {
            if !store.is_open() {
                return Err(away(service)); // its file was taken away meanwhile
            }
            if matches!(why, Why::Never) && store.left_behind(sequence) {
                let detail = format!(
                    "commit {sequence} of {service} was left behind when the service got another file, and is not known to be archived"
                );
                return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "not_reached", detail).of_service(service));
            }
            return Err(not_archived(&commit, why, "nothing of this request was done").retryable(None));
        }
    }
    Ok(())
}

/// Why a commit is not there.
enum Why {
    Late,
    Never,
}

async fn reached(archive: &dyn Archived, commit: &Commit, until: Instant) -> Result<(), Why> {
    match tokio::time::timeout_at(until.into(), archive.reaches(commit.service, commit.sequence)).await {
        Ok(Ok(())) => Ok(()),
        Err(_) => Err(Why::Late),
        Ok(Err(why)) => {
            let Commit { service, sequence } = *commit;
            tracing::error!(service, sequence, why, "a commit will not be archived");
            Err(Why::Never)
        }
    }
}

fn not_archived(commit: &Commit, why: Why, then: &str) -> Problem {
    let Commit { service, sequence } = *commit;
    let why = match why {
        Why::Late => "not in the archive yet",
        Why::Never => "not in the archive, which does not take it any more",
    };
    let detail = format!("commit {sequence} of {service} is {why}; {then}");
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "not_archived", detail).of_service(service)
}

/// `Documents=123, Users=7`; none where nothing was committed.
pub(crate) fn listed(commits: &[Commit]) -> Option<HeaderValue> {
    let pairs: Vec<String> = commits.iter().map(|c| format!("{}={}", c.service, c.sequence)).collect();
    let text = Some(pairs.join(", ")).filter(|text| !text.is_empty())?;
    Some(HeaderValue::try_from(text).expect("names of services and digits are a header's value"))
}
