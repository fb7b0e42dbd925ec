//! What a follower could not see, by sort.

use crate::error::{Error, Kind};
use std::fmt;

/// Commits that the WAL does not hold any more, or not as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The last commit that the follower knows; `None` where it knows none.
    pub after: Option<u64>,
    /// The next commit that the WAL holds, where it holds one.
    pub found: Option<u64>,
    /// How that came.
    pub why: Why,
}

/// How a gap came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The WAL begins later: it was started over before it was followed, or by another program.
    Begins,
    /// Published frames are not in the WAL: another program cut, emptied or damaged it.
    Lost,
    /// Another file lies under the database's name.
    Replaced,
}

/// Why a follower has no next batch.
#[derive(Debug)]
#[non_exhaustive]
pub enum Missed {
    /// Commits are missing. The follower stands where it stood; [`Follower::begin_after`](super::Follower::begin_after)
    /// says where to go on, after a copy of all pages.
    Gap(Gap),
    /// The WAL could not be read, or the store is closed.
    Store(Error),
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after {
            Some(after) => write!(f, "the commits after {after} cannot be followed: ")?,
            None => write!(f, "the commits cannot be followed: ")?,
        }
        match (self.why, self.found) {
            (Why::Begins, Some(found)) => write!(f, "the WAL begins with commit {found}")?,
            (Why::Begins, None) => write!(f, "the WAL begins later")?,
            (Why::Lost, _) => write!(f, "their frames are not in the WAL; another program changed it")?,
            (Why::Replaced, _) => return write!(f, "another file lies under the database's name; restart the program"),
        }
        write!(f, ". A copy of all pages is needed before the follower can go on")
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missed::Gap(gap) => gap.fmt(f),
            Missed::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Missed {}

impl From<Error> for Missed {
    fn from(error: Error) -> Missed {
        Missed::Store(error)
    }
}

impl From<Missed> for Error {
    fn from(missed: Missed) -> Error {
        match missed {
            Missed::Gap(gap) => Error::new(Kind::Corrupt, gap.to_string()),
            Missed::Store(error) => error,
        }
    }
}
