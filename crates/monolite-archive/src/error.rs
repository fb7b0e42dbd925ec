//! The error of an archive: a kind that tells the caller what to do next, a context, a source.
//!
//! **Invariants**
//! - The kind alone decides what to do; the text is for people and names the segment, page or place.

use std::fmt;

/// The result of an archive's operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What happened, and by its variant what the caller should do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// There is no such object, service, history or moment.
    Missing,
    /// Something has that name already; nothing was written. Somebody else writes, or an earlier try succeeded.
    Exists,
    /// Commits are missing between two segments; the text names both sides.
    Gap,
    /// That commit was never kept by itself: it lies within a segment. The text names the nearest that were.
    Within,
    /// Bytes are not what was written.
    Damaged,
    /// The place cannot be reached now. Nothing was done; try again later.
    Unreachable,
    /// The place did not answer: what was put may be there or not. Read it, or put it again.
    OutcomeUnknown,
    /// There is no room left. Nothing was done.
    Full,
    /// The place or the operating system does not allow it.
    Denied,
    /// A newer program wrote this.
    Newer,
    /// The call is wrong: a bug in the caller, or what an operator asked for makes no sense.
    Invalid,
    /// The file is older than its archive: it was put back from a copy. Nothing was archived.
    Behind,
    /// Two went on from one commit: the file was copied or put back, and both were archived. Nothing was changed.
    Apart,
    /// A segment is another writer's, who went on from a copy of the file: it is none of this history's, and is passed over.
    Foreign,
    /// The caller asked to stop, or what was waited for has ended.
    Stopped,
    /// The operating system refused; see the source.
    Io,
}

/// How a file and its archive stand to each other where they do not fit: with [`Kind::Behind`] and [`Kind::Apart`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sides {
    /// The service.
    pub service: String,
    /// The history that both are of.
    pub history: String,
    /// The file's last commit.
    pub file: u64,
    /// The moment of that, as far as the archive knows it, in unix milliseconds; the commit was not made after it.
    pub file_ms: Option<i64>,
    /// The newest commit in the archive.
    pub archive: u64,
    /// The moment of that, in unix milliseconds.
    pub archive_ms: i64,
}

/// An error of an archive.
pub struct Error {
    kind: Kind,
    context: String,
    sides: Option<Box<Sides>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A new error of a kind, with a text that says what happened, to what, and what to do next.
    pub fn new(kind: Kind, context: impl Into<String>) -> Self {
        Error { kind, context: context.into(), sides: None, source: None }
    }

    /// The file and the archive, where they do not fit.
    pub fn sides(&self) -> Option<&Sides> {
        self.sides.as_deref()
    }

    pub(crate) fn between(mut self, sides: Sides) -> Self {
        self.sides = Some(Box::new(sides));
        self
    }

    /// What happened.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the operating system or the place said it, and not our own reading of what is there.
    pub(crate) fn has_source(&self) -> bool {
        self.source.is_some()
    }

    /// The same error, its text behind where it happened.
    #[must_use]
    pub fn within(mut self, place: impl fmt::Display) -> Self {
        self.context = format!("{place}: {}", self.context);
        self
    }

    /// An error of the operating system.
    pub fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        use std::io::ErrorKind as E;
        let kind = match source.kind() {
            E::NotFound => Kind::Missing,
            E::AlreadyExists => Kind::Exists,
            E::StorageFull | E::QuotaExceeded => Kind::Full,
            E::PermissionDenied | E::ReadOnlyFilesystem => Kind::Denied,
            E::UnexpectedEof | E::InvalidData => Kind::Damaged,
            _ => Kind::Io,
        };
        // An error of ours that went through `Read` or `Write` comes out as it was.
        match source.downcast::<Error>() {
            Ok(ours) => ours.within(context.into()),
            Err(source) => Error { kind, context: context.into(), sides: None, source: Some(Box::new(source)) },
        }
    }

    /// The same about a file beside the store: that it is not there, or short, says nothing of an archive.
    pub(crate) fn local(context: impl Into<String>, source: std::io::Error) -> Self {
        let error = Error::io(context, source);
        match error.kind {
            Kind::Missing | Kind::Damaged if error.source.is_some() => Error { kind: Kind::Io, ..error },
            _ => error,
        }
    }

    /// What a place said.
    #[cfg(feature = "s3")]
    pub(crate) fn from_place(
        kind: Kind,
        context: String,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Error { kind, context, sides: None, source: Some(Box::new(source)) }
    }

    pub(crate) fn damaged(context: impl Into<String>) -> Self {
        Error::new(Kind::Damaged, context)
    }

    pub(crate) fn invalid(context: impl Into<String>) -> Self {
        Error::new(Kind::Invalid, context)
    }
}

impl From<monolite_store::Error> for Error {
    fn from(source: monolite_store::Error) -> Self {
        use monolite_store::Kind as K;
        let kind = match source.kind() {
            K::Full => Kind::Full,
            K::Corrupt => Kind::Damaged,
            K::Closed => Kind::Stopped,
            K::Busy => Kind::Exists,
            _ => Kind::Io,
        };
        Error { kind, context: "the store".to_owned(), sides: None, source: Some(Box::new(source)) }
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        std::io::Error::other(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.context),
            None => f.write_str(&self.context),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| &**e as _)
    }
}
