//! The error of a store: a kind that tells the caller what to do next, a context, a source.
//!
//! **Invariants**
//! - The kind alone decides what to do; the text is for people.
//! - One pointer wide, so that `Result<T, Error>` costs nothing on the fast path.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// The result of a store's operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What happened, and by its variant what the caller should do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A queue is full. Nothing was done; try again after [`Error::retry_after`].
    Overloaded,
    /// The deadline passed. Nothing was done.
    Late,
    /// A constraint refused the change ([`Error::constraint`] says which sort). Nothing was done.
    Constraint,
    /// A value is larger than one may be: `Config::value_max`, or `LARGE_VALUE_MAX` of one in pieces. Nothing was done.
    TooLarge,
    /// The query returned no row where one was asked for.
    NoRows,
    /// The statement, its parameters or the call are wrong: a bug in the caller.
    Invalid,
    /// The statement is not allowed here: transaction words, ATTACH, PRAGMA, the store's own tables.
    Denied,
    /// A read outlived its time limit, or its snapshot stood in the way of a checkpoint.
    TooLong,
    /// A blocking wait that could never end: from the writer's thread, or a read inside a read.
    Nested,
    /// The closure panicked. Nothing was done.
    Panicked,
    /// The disk is full. Nothing was done; reads go on.
    Full,
    /// The store only reads, since an earlier commit's outcome is unknown; restart the program.
    ReadOnly,
    /// The commit failed on the disk, and so did undoing it: the change may or may not be there after a restart.
    OutcomeUnknown,
    /// Another process or another store of this process holds the file.
    Busy,
    /// The file is damaged or is not a database.
    Corrupt,
    /// The file was written by a newer program: it has migrations this one does not know.
    Newer,
    /// A migration that ran in the past has changed since.
    Changed,
    /// The place or the SQLite library cannot keep the promises: network file system, old version.
    Unsupported,
    /// The store is closed.
    Closed,
    /// The operating system refused; see the source. A write that hears this was not done.
    Io,
    /// A bug in this crate.
    Internal,
}

/// The sort of constraint that refused a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Constraint {
    /// A UNIQUE index.
    Unique,
    /// A PRIMARY KEY.
    PrimaryKey,
    /// A foreign key.
    ForeignKey,
    /// NOT NULL.
    NotNull,
    /// A CHECK.
    Check,
    /// Any other: a trigger's RAISE(ABORT), a STRICT type.
    Other,
}

/// An error of a store.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    context: Cow<'static, str>,
    retry_after: Option<Duration>,
    own_fault: bool,
    statement: Option<Box<str>>,
    source: Option<Source>,
}

impl Inner {
    fn of(kind: Kind, context: Cow<'static, str>, source: Option<Source>) -> Self {
        Inner { kind, context, retry_after: None, own_fault: false, statement: None, source }
    }
}

enum Source {
    Sqlite(rusqlite::Error),
    Io(std::io::Error),
}

impl Error {
    /// A new error of a kind, with a text that says what happened, to what, and what to do next.
    pub fn new(kind: Kind, context: impl Into<Cow<'static, str>>) -> Self {
        Error(Box::new(Inner::of(kind, context.into(), None)))
    }

    /// What happened.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The text without the source.
    pub fn context(&self) -> &str {
        &self.0.context
    }

    /// When trying again makes sense; set for [`Kind::Overloaded`].
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the tenant's own bound was reached, and not that of all: the tenant should slow down.
    pub fn is_own_fault(&self) -> bool {
        self.0.own_fault
    }

    /// The statement that was stopped at its deadline or time limit, where one was seen running.
    pub fn statement(&self) -> Option<&str> {
        self.0.statement.as_deref()
    }

    /// The sort of constraint, where the kind is [`Kind::Constraint`].
    pub fn constraint(&self) -> Option<Constraint> {
        if self.0.kind != Kind::Constraint {
            return None;
        }
        use rusqlite::ffi;
        let extended = match self.sqlite() {
            Some(rusqlite::Error::SqliteFailure(e, _)) => e.extended_code,
            _ => return Some(Constraint::ForeignKey), // the store's own check of deferred keys
        };
        Some(match extended {
            ffi::SQLITE_CONSTRAINT_UNIQUE => Constraint::Unique,
            ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => Constraint::PrimaryKey,
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Constraint::ForeignKey,
            ffi::SQLITE_CONSTRAINT_NOTNULL => Constraint::NotNull,
            ffi::SQLITE_CONSTRAINT_CHECK => Constraint::Check,
            _ => Constraint::Other,
        })
    }

    /// SQLite's own error, where one is the source.
    pub fn sqlite(&self) -> Option<&rusqlite::Error> {
        match &self.0.source {
            Some(Source::Sqlite(e)) => Some(e),
            _ => None,
        }
    }

    pub(crate) fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    pub(crate) fn with_own_fault(mut self, own: bool) -> Self {
        self.0.own_fault = own;
        self
    }

    pub(crate) fn with_statement(mut self, statement: Option<Box<str>>) -> Self {
        self.0.statement = statement;
        self
    }

    pub(crate) fn within(mut self, context: impl Into<Cow<'static, str>>) -> Self {
        let text = context.into();
        self.0.context = if self.0.context.is_empty() { text } else { format!("{text}: {}", self.0.context).into() };
        self
    }

    /// The same error for another caller of the same group; the source becomes text.
    pub(crate) fn again(&self) -> Self {
        let mut error = Error::new(self.kind(), self.to_string());
        error.0.retry_after = self.0.retry_after;
        error.0.own_fault = self.0.own_fault;
        error
    }

    pub(crate) fn io(context: impl Into<Cow<'static, str>>, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::Full,
            _ => Kind::Io,
        };
        Error(Box::new(Inner::of(kind, context.into(), Some(Source::Io(source)))))
    }
}

impl From<rusqlite::Error> for Error {
    fn from(source: rusqlite::Error) -> Self {
        let kind = kind_of(&source);
        Error(Box::new(Inner::of(kind, Cow::Borrowed(""), Some(Source::Sqlite(source)))))
    }
}

fn kind_of(e: &rusqlite::Error) -> Kind {
    use rusqlite::ErrorCode as C;
    match e {
        rusqlite::Error::QueryReturnedNoRows => Kind::NoRows,
        rusqlite::Error::SqliteFailure(f, _) => match f.code {
            C::ConstraintViolation => Kind::Constraint,
            C::AuthorizationForStatementDenied => Kind::Denied,
            C::OperationInterrupted => Kind::TooLong,
            C::DiskFull => Kind::Full,
            C::DatabaseCorrupt | C::NotADatabase => Kind::Corrupt,
            C::DatabaseBusy | C::DatabaseLocked | C::FileLockingProtocolFailed => Kind::Busy,
            C::ReadOnly => Kind::Denied,
            C::SystemIoFailure | C::CannotOpen | C::PermissionDenied => Kind::Io,
            C::OutOfMemory => Kind::Overloaded,
            C::TooBig => Kind::TooLarge,
            C::InternalMalfunction => Kind::Internal,
            _ => Kind::Invalid,
        },
        _ => Kind::Invalid,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.context)?;
        let between = if self.0.context.is_empty() { "" } else { ": " };
        match &self.0.source {
            Some(Source::Sqlite(e)) => write!(f, "{between}{e}"),
            Some(Source::Io(e)) => write!(f, "{between}{e}"),
            None if self.0.context.is_empty() => write!(f, "{:?}", self.0.kind),
            None => Ok(()),
        }?;
        match &self.0.statement {
            Some(statement) => write!(f, "; it was in: {statement}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.source {
            Some(Source::Sqlite(e)) => Some(e),
            Some(Source::Io(e)) => Some(e),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn what_sqlite_lost_or_broke_is_no_bug_of_the_caller() {
        let kind = |code| Error::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)).kind();
        assert_eq!(kind(ffi::SQLITE_PROTOCOL), Kind::Busy, "a reader that lost its race too often");
        assert_eq!(kind(ffi::SQLITE_INTERNAL), Kind::Internal);
        assert_eq!(kind(ffi::SQLITE_RANGE), Kind::Invalid);
    }
}
