//! Outcomes: a reply, a refusal by the service, or a failure of the system.

use crate::failure::Failure;
use crate::message::Message;
use crate::refusal::{Refusal, Refused};
use monolite_store as store;
use std::fmt;

/// What a call of message `M` comes to.
pub type Outcome<M> = Result<<M as Message>::Reply, Error<<M as Message>::Refusal>>;

/// Why there is no reply.
#[derive(Debug)]
pub enum Error<R = Refused> {
    /// The service said no and nothing changed.
    Refused(R),
    /// The system failed; the kind says what to do next.
    Failed(Failure),
}

impl<R> Error<R> {
    /// The refusal, if it is one.
    pub fn refusal(&self) -> Option<&R> {
        match self {
            Error::Refused(r) => Some(r),
            Error::Failed(_) => None,
        }
    }

    /// The failure, if it is one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Error::Refused(_) => None,
            Error::Failed(f) => Some(f),
        }
    }
}

impl<R: Refusal> From<R> for Error<R> {
    fn from(refusal: R) -> Self {
        Error::Refused(refusal)
    }
}

impl<R> From<Failure> for Error<R> {
    fn from(failure: Failure) -> Self {
        Error::Failed(failure)
    }
}

impl<R> From<store::Error> for Error<R> {
    fn from(error: store::Error) -> Self {
        Error::Failed(error.into())
    }
}

impl<R> From<store::rusqlite::Error> for Error<R> {
    fn from(error: store::rusqlite::Error) -> Self {
        Error::Failed(error.into())
    }
}

impl<R: Refusal> fmt::Display for Error<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused(r) => {
                write!(f, "{} ({})", r.detail(), r.code())?;
                r.fields().iter().try_for_each(|field| write!(f, "; {field}"))
            }
            Error::Failed(failure) => failure.fmt(f),
        }
    }
}

impl<R: Refusal> std::error::Error for Error<R> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.failure().map(|f| f as _)
    }
}

/// Turns the constraint errors of a statement into refusals; chains: `.unique(a).foreign(b)?`.
pub trait OrRefuse<T>: Sized {
    /// Refuses where a UNIQUE index or a PRIMARY KEY said no.
    fn unique<R: Refusal>(self, refusal: R) -> Result<T, Error<R>>
    where
        Self: IntoOutcome<T, R>,
    {
        use store::Constraint as C;
        refuse(self.into_outcome(), refusal, |c| matches!(c, C::Unique | C::PrimaryKey))
    }

    /// Refuses where a foreign key said no.
    fn foreign<R: Refusal>(self, refusal: R) -> Result<T, Error<R>>
    where
        Self: IntoOutcome<T, R>,
    {
        refuse(self.into_outcome(), refusal, |c| c == store::Constraint::ForeignKey)
    }

    /// Refuses where a CHECK, NOT NULL or a column's type said no.
    fn checked<R: Refusal>(self, refusal: R) -> Result<T, Error<R>>
    where
        Self: IntoOutcome<T, R>,
    {
        use store::Constraint as C;
        refuse(self.into_outcome(), refusal, |c| matches!(c, C::Check | C::NotNull | C::Other))
    }
}

impl<T> OrRefuse<T> for Result<T, Failure> {}
impl<T, R> OrRefuse<T> for Result<T, Error<R>> {}

/// What [`OrRefuse`] works on: results of statements, and of earlier links of the chain.
pub trait IntoOutcome<T, R> {
    /// As an outcome.
    fn into_outcome(self) -> Result<T, Error<R>>;
}

impl<T, R> IntoOutcome<T, R> for Result<T, Failure> {
    fn into_outcome(self) -> Result<T, Error<R>> {
        self.map_err(Error::Failed)
    }
}

impl<T, R> IntoOutcome<T, R> for Result<T, Error<R>> {
    fn into_outcome(self) -> Result<T, Error<R>> {
        self
    }
}

fn refuse<T, R>(
    outcome: Result<T, Error<R>>,
    refusal: R,
    is: impl Fn(store::Constraint) -> bool,
) -> Result<T, Error<R>> {
    match outcome {
        Err(Error::Failed(f)) if f.constraint().is_some_and(is) => Err(Error::Refused(refusal)),
        other => other,
    }
}

/// Translates another service's refusal into one's own; failures pass: `.refused(NoOrder::Stock)?`.
pub trait Translate<T, A> {
    /// Maps the refusal.
    fn refused<B>(self, map: impl FnOnce(A) -> B) -> Result<T, Error<B>>;
}

impl<T, A> Translate<T, A> for Result<T, Error<A>> {
    fn refused<B>(self, map: impl FnOnce(A) -> B) -> Result<T, Error<B>> {
        self.map_err(|e| match e {
            Error::Refused(a) => Error::Refused(map(a)),
            Error::Failed(f) => Error::Failed(f),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use monolite_store::rusqlite::Connection;

    /// What SQLite says to the second of two statements.
    fn said(statements: [&str; 2]) -> Result<usize, Failure> {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "PRAGMA foreign_keys=1; CREATE TABLE a(id INTEGER PRIMARY KEY, name TEXT UNIQUE CHECK (name <> '')) STRICT;
             CREATE TABLE b(a INTEGER NOT NULL REFERENCES a) STRICT",
        )
        .unwrap();
        db.execute(statements[0], []).unwrap();
        Ok(db.execute(statements[1], [])?)
    }

    #[track_caller]
    fn code(outcome: Result<usize, Error>) -> String {
        match outcome {
            Err(Error::Refused(r)) => r.code().into_owned(),
            other => panic!("not a refusal: {other:?}"),
        }
    }

    const A: &str = "INSERT INTO a VALUES (1, 'x')";

    #[test]
    fn each_sort_of_constraint_has_its_word() {
        let no = Refused::conflict;
        let all = |statement| said([A, statement]).unique(no("unique")).foreign(no("foreign")).checked(no("checked"));
        assert_eq!(code(all("INSERT INTO a VALUES (2, 'x')")), "unique");
        assert_eq!(code(all("INSERT INTO a VALUES (1, 'y')")), "unique");
        assert_eq!(code(all("INSERT INTO b VALUES (7)")), "foreign");
        assert_eq!(code(all("INSERT INTO a VALUES (2, '')")), "checked");
        assert_eq!(code(all("INSERT INTO b VALUES (NULL)")), "checked");
        assert_eq!(all("INSERT INTO b VALUES (1)").unwrap(), 1);
    }

    #[test]
    fn a_constraint_nobody_mapped_is_internal() {
        let outcome: Result<usize, Error> = said([A, "INSERT INTO b VALUES (7)"]).unique(Refused::conflict("unique"));
        let failure = outcome.unwrap_err();
        assert_eq!(failure.failure().unwrap().kind(), crate::FailureKind::Internal);
    }

    #[test]
    fn a_translated_refusal_keeps_failures() {
        let refused: Result<(), Error<Refused>> = Err(Refused::stale().into());
        assert_eq!(
            refused.refused(|_| Refused::conflict("mine")).unwrap_err().refusal(),
            Some(&Refused::conflict("mine"))
        );
        let failed: Result<(), Error<Refused>> = Err(Failure::internal("x").into());
        assert!(failed.refused(|_| Refused::stale()).unwrap_err().failure().is_some());
    }
}
