//! Failures: what the system, not the service, has to say about a call.
//!
//! **Invariants**
//! - The kind alone tells the caller what to do next; the text is for people and logs.
//! - One pointer wide, so that an `Outcome` stays small.
//! - A constraint that the service did not map to a refusal is `Internal`: its rule is not the caller's business.

use crate::refusal::FieldError;
use monolite_store as store;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// What happened, and by its variant what the caller should do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// A queue is full. Nothing was done; try again after [`Failure::retry_after`].
    Overloaded,
    /// The deadline passed. Nothing was done (of a flow: its later steps were not done).
    Late,
    /// The change may or may not be there; read before trying again.
    OutcomeUnknown,
    /// The service only reads at present.
    ReadOnly,
    /// The disk is full. Nothing was done; reads go on.
    Full,
    /// A read outlived its limits.
    TooLong,
    /// The service is shutting down.
    Closed,
    /// The service's file is damaged.
    Corrupt,
    /// The handler panicked; nothing was done.
    Panicked,
    /// The bytes that were given are more than one value may have. Nothing was done.
    TooLarge,
    /// The upload broke off, or took too long. What was taken of it before is kept.
    Interrupted,
    /// The message is wrong; [`Failure::fields`] says where.
    Invalid,
    /// Somebody must be signed in for this.
    Unauthenticated,
    /// No service answers this message here, or it cannot at present.
    Unavailable,
    /// A bug in a service or in the system.
    Internal,
}

/// A failure: a kind, a text, and where they help, fields, a delay and a source.
pub struct Failure(Box<Inner>);

struct Inner {
    kind: FailureKind,
    detail: Cow<'static, str>,
    fields: Vec<FieldError>,
    retry_after: Option<Duration>,
    own_fault: bool,
    source: Option<store::Error>,
}

impl Failure {
    /// A failure of a kind, with a text that says what happened, to what, and what to do next.
    pub fn new(kind: FailureKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Failure(Box::new(Inner {
            kind,
            detail: detail.into(),
            fields: Vec::new(),
            retry_after: None,
            own_fault: false,
            source: None,
        }))
    }

    /// The message is wrong in these fields.
    pub fn invalid(fields: Vec<FieldError>) -> Self {
        let mut failure = Failure::new(FailureKind::Invalid, "the request is not valid");
        failure.0.fields = fields;
        failure
    }

    /// A bug in a service: its code and its file do not fit together.
    pub fn internal(detail: impl Into<Cow<'static, str>>) -> Self {
        Failure::new(FailureKind::Internal, detail)
    }

    /// What happened.
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }

    /// The text, without the source.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Which fields are wrong; empty for all kinds but [`FailureKind::Invalid`].
    pub fn fields(&self) -> &[FieldError] {
        &self.0.fields
    }

    /// When trying again makes sense.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether a bound of the caller's tenant alone was met: others are let in.
    pub fn is_own_fault(&self) -> bool {
        self.0.own_fault
    }

    /// The store's error, where one is the source.
    pub fn store(&self) -> Option<&store::Error> {
        self.0.source.as_ref()
    }

    /// The sort of constraint that refused the change, where one did.
    pub fn constraint(&self) -> Option<store::Constraint> {
        self.store().and_then(store::Error::constraint)
    }

    /// The same, because of what the caller's own tenant has under way.
    pub fn by_own_fault(mut self) -> Self {
        self.0.own_fault = true;
        self
    }

    /// The same, with a delay after which to try again.
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }
}

impl From<store::Error> for Failure {
    fn from(source: store::Error) -> Self {
        use store::Kind as K;
        let (kind, detail) = match source.kind() {
            K::Overloaded => (FailureKind::Overloaded, "the service is overloaded"),
            K::Late => (FailureKind::Late, "the deadline passed"),
            K::OutcomeUnknown => (FailureKind::OutcomeUnknown, "it is not known whether the change was kept"),
            K::ReadOnly => (FailureKind::ReadOnly, "the service only reads at present"),
            K::Full => (FailureKind::Full, "there is no room for changes"),
            K::TooLong => (FailureKind::TooLong, "the read took too long"),
            K::TooLarge => (FailureKind::TooLarge, "a value is too large"),
            K::Closed => (FailureKind::Closed, "the service is closed"),
            K::Corrupt => (FailureKind::Corrupt, "the service's file is damaged"),
            K::Panicked => (FailureKind::Panicked, "the handler panicked"),
            K::Busy | K::Newer | K::Changed | K::Unsupported | K::Io => {
                (FailureKind::Unavailable, "the service is not available")
            }
            K::Constraint => (FailureKind::Internal, "a constraint of the service's file refused the change"),
            _ => (FailureKind::Internal, "the store refused"),
        };
        let (retry_after, own_fault) = (source.retry_after(), source.is_own_fault());
        let source = Some(source);
        Failure(Box::new(Inner { kind, detail: detail.into(), fields: Vec::new(), retry_after, own_fault, source }))
    }
}

impl From<store::rusqlite::Error> for Failure {
    fn from(source: store::rusqlite::Error) -> Self {
        store::Error::from(source).into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)?;
        for field in &self.0.fields {
            write!(f, "; {field}")?;
        }
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|e| e as _)
    }
}
