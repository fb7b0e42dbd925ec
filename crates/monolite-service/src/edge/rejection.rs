//! Rejections: a refusal or a failure with its types erased, for an edge to answer with.

use crate::failure::Failure;
use crate::json::Json;
use crate::outcome::Error;
use crate::refusal::{FieldError, Refusal, RefusalKind};
use std::borrow::Cow;
use std::time::Duration;

/// Why a request has no answer.
#[derive(Debug)]
pub enum Rejection {
    /// The service said no.
    Refused {
        /// The sort of refusal.
        kind: RefusalKind,
        /// The stable code.
        code: Cow<'static, str>,
        /// The text for people.
        detail: String,
        /// The wrong fields.
        fields: Vec<FieldError>,
        /// When trying again makes sense.
        retry_after: Option<Duration>,
        /// The refusal itself.
        refusal: Option<Json>,
    },
    /// The system failed.
    Failed(Failure),
}

impl Rejection {
    /// The rejection of an error.
    pub fn of<R: Refusal>(error: Error<R>) -> Self {
        match error {
            Error::Failed(failure) => Rejection::Failed(failure),
            Error::Refused(r) => Rejection::Refused {
                kind: r.kind(),
                code: r.code(),
                detail: r.detail(),
                fields: r.fields().to_vec(),
                retry_after: r.retry_after(),
                refusal: Json::of(&r).ok(),
            },
        }
    }
}

impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Self {
        Rejection::Failed(failure)
    }
}
