//! The one place where kinds of refusals, failures and faults become statuses and codes.
//!
//! **Invariants**
//! - A failure's own text never leaves: each kind has a text of ours; the failure goes to the log with its trace.
//! - "Nothing was done, try again" is `retryable`; an unknown outcome never is.
//!
//! Never here: HTTP beyond the status.

use crate::input::Fault;
use crate::problem::{FieldProblem, Problem};
use http::StatusCode;
use monolite_service::edge::Rejection;
use monolite_service::{Failure, FailureKind, FieldError, RefusalKind, WorkKind};
use std::borrow::Cow;
use std::time::Duration;

/// After which a service that only reads, or whose disk is full, may be asked again.
const LATER: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(1);

/// The problem of a fault in the input.
pub(crate) fn of_fault(fault: Fault) -> Problem {
    let status = match fault.code {
        "unsupported_media_type" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "body_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    match fault.pointer {
        None => Problem::new(status, fault.code, fault.detail),
        Some(pointer) => Problem::new(status, fault.code, "the request is not valid").with_errors(vec![FieldProblem {
            pointer,
            code: fault.code.into(),
            detail: fault.detail,
        }]),
    }
}

/// A service's file is not there: it is being replaced, or is damaged. Nothing was done.
pub(crate) fn away(service: &'static str) -> Problem {
    unavailable("unavailable", "the service is not available").retryable(Some(SOON)).of_service(service)
}

/// The problem of a service's refusal or the system's failure.
pub(crate) fn of_rejection(rejection: Rejection, service: &'static str, kind: WorkKind) -> Problem {
    match rejection {
        Rejection::Refused { kind, code, detail, fields, retry_after, .. } => {
            let errors = fields.iter().map(of_field).collect();
            let problem = Problem::new(of_refusal(kind), code, detail).of_service(service).with_errors(errors);
            if kind == RefusalKind::TooMany { problem.retryable(retry_after) } else { problem }
        }
        Rejection::Failed(failure) if kind == WorkKind::Flow => of_flow(&failure).of_service(service),
        Rejection::Failed(failure) => of_failure(&failure).of_service(service),
    }
}

/// The status of a refusal.
pub(crate) fn of_refusal(kind: RefusalKind) -> StatusCode {
    match kind {
        RefusalKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        RefusalKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        RefusalKind::Forbidden => StatusCode::FORBIDDEN,
        RefusalKind::NotFound => StatusCode::NOT_FOUND,
        RefusalKind::Conflict => StatusCode::CONFLICT,
        RefusalKind::Stale => StatusCode::PRECONDITION_FAILED,
        RefusalKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RefusalKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
    }
}

/// The problem of a failure; only its kind, its fields and its delay are told.
pub(crate) fn of_failure(failure: &Failure) -> Problem {
    use FailureKind as K;
    let after = failure.retry_after();
    match failure.kind() {
        K::Overloaded if failure.is_own_fault() => too_many_requests(after.unwrap_or(SOON)),
        K::Overloaded => unavailable("overloaded", "the service has too much to do").retryable(after.or(Some(SOON))),
        K::Late => unavailable("late", "the request was not done in time; nothing was changed").retryable(after),
        K::OutcomeUnknown => {
            unavailable("outcome_unknown", "it is not known whether the change was kept; read before trying again")
        }
        K::ReadOnly => unavailable("read_only", "the service only reads at present").retryable(after.or(Some(LATER))),
        K::Full => {
            let text = "there is no room for changes, on the disk or for the archive; nothing was changed";
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "full", text).retryable(after.or(Some(LATER)))
        }
        K::TooLong => unavailable("too_long", "the read took longer than a read may"),
        K::TooLarge => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "it is larger than a value may be"),
        K::Interrupted => Problem::new(StatusCode::BAD_REQUEST, "broken_body", "the body ended before its length"),
        K::Closed => unavailable("closed", "the service is shutting down").retryable(after),
        K::Corrupt => broken("corrupt", "the service's file is damaged"),
        K::Panicked => broken("panicked", "the request failed; nothing was changed"),
        K::Invalid => {
            let errors = failure.fields().iter().map(of_field).collect();
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "the request is not valid").with_errors(errors)
        }
        K::Unauthenticated => Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "sign in first"),
        K::Unavailable => unavailable("unavailable", "the service is not available").retryable(after),
        _ => broken("internal", "something went wrong"),
    }
}

/// The same for a flow, of which earlier steps may have been done.
fn of_flow(failure: &Failure) -> Problem {
    const STEPS: &str = "some of its steps may have been done; read before trying again";
    match failure.kind() {
        FailureKind::Late => unavailable("late", format!("the request was not done in time; {STEPS}")),
        FailureKind::Panicked => broken("panicked", format!("the request failed; {STEPS}")),
        _ => of_failure(failure),
    }
}

/// All together want more than the service can do.
pub(crate) fn overloaded(later: Duration) -> Problem {
    unavailable("overloaded", "the service has too much to do").retryable(Some(later))
}

/// This tenant wants more than its share.
pub(crate) fn too_many_requests(later: Duration) -> Problem {
    let detail = "you have more changes under way than your share; the others come first";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail).retryable(Some(later))
}

/// Whether operators should hear of it.
pub(crate) fn is_worth_a_log(kind: FailureKind) -> bool {
    use FailureKind as K;
    !matches!(kind, K::Invalid | K::Unauthenticated | K::Overloaded | K::Late | K::TooLarge | K::Interrupted)
}

fn unavailable(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
}

fn broken(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, code, detail)
}

fn of_field(field: &FieldError) -> FieldProblem {
    FieldProblem { pointer: pointer_of(&field.field), code: Cow::Borrowed("invalid"), detail: field.detail.clone() }
}

/// `ingredients[2].grams` as a JSON pointer: `/ingredients/2/grams`.
fn pointer_of(field: &str) -> String {
    let mut pointer = String::new();
    for token in field.split(['.', '[']).map(|token| token.trim_end_matches(']')).filter(|token| !token.is_empty()) {
        crate::input::push_token(&mut pointer, token);
    }
    pointer
}
