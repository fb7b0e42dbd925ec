//! Messages: the contract of a service, as plain types.
//!
//! **Invariants**
//! - A message and its reply are serialisable, so that a service may live elsewhere without a change of code.
//! - `check` sees only the message: it runs before the queue, without a file.

use crate::blob::Progress;
use crate::failure::Failure;
use crate::refusal::{FieldError, Refusal};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::RangeInclusive;

/// A message: what one service can be asked. Made by [`message!`](crate::message).
pub trait Message: Clone + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// What it is answered with.
    type Reply: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
    /// How the service says no.
    type Refusal: Refusal;
    /// The type's name; once registered the full name is `Recipes.AddRecipe`.
    const NAME: &'static str;

    /// Looks at the message before it is queued.
    fn check(&self, _check: &mut Check) {}

    /// The version of what the reply shows, where it has one; it becomes the `ETag`.
    fn version(_reply: &Self::Reply) -> Option<u64> {
        None
    }

    /// How far the upload of the reply has come, where it is of one.
    fn progress(_reply: &Self::Reply) -> Option<Progress> {
        None
    }
}

/// Declares a type as a message, with its reply and, in this order, its refusal, its check, its reply's version, and the progress of the upload that it tells of.
///
/// ```
/// # use monolite_service::*;
/// # use serde::{Serialize, Deserialize};
/// # use schemars::JsonSchema;
/// #[derive(Clone, Serialize, Deserialize, JsonSchema)]
/// pub struct AddNote { pub title: String }
/// message!(AddNote => Note, check |m, c| c.field("title", !m.title.is_empty(), "is empty"), version |r| r.version);
/// # #[derive(Serialize, Deserialize, JsonSchema)]
/// # pub struct Note { title: String, version: u64 }
/// # assert_eq!(AddNote::NAME, "AddNote");
/// # let mut check = Check::new();
/// # AddNote { title: "".into() }.check(&mut check);
/// # assert!(check.finish().is_err());
/// # assert_eq!(AddNote::version(&Note { title: "x".into(), version: 7 }), Some(7));
/// ```
#[macro_export]
macro_rules! message {
    ($m:ident => $reply:ty $(, refuses $refusal:ty)? $(, check $check:expr)? $(, version $version:expr)? $(, progress $progress:expr)? $(,)?) => {
        impl $crate::Message for $m {
            type Reply = $reply;
            type Refusal = $crate::message!(@refusal $($refusal)?);
            const NAME: &'static str = stringify!($m);
            $(fn check(&self, check: &mut $crate::Check) {
                let _ = check.by(self, $check);
            })?
            $(fn version(reply: &$reply) -> Option<u64> {
                let f: fn(&$reply) -> _ = $version;
                f(reply).into()
            })?
            $(fn progress(reply: &$reply) -> Option<$crate::Progress> {
                let f: fn(&$reply) -> _ = $progress;
                f(reply).into()
            })?
        }
    };
    (@refusal) => { $crate::Refused };
    (@refusal $refusal:ty) => { $refusal };
}

/// Collects what is wrong with a message.
#[derive(Debug, Default)]
pub struct Check {
    wrong: Vec<FieldError>,
}

impl Check {
    /// Nothing wrong so far.
    pub fn new() -> Self {
        Check::default()
    }

    /// Looks at a message by a function; for [`message!`](crate::message), so that its check may end with any of these words.
    #[doc(hidden)]
    pub fn by<'c, M, R>(&'c mut self, message: &'c M, look: impl FnOnce(&'c M, &'c mut Check) -> R) -> R {
        look(message, self)
    }

    /// Notes that a field is wrong unless it is well: `c.field("title", !m.title.is_empty(), "is empty")`.
    pub fn field(&mut self, field: &str, well: bool, why: &str) -> &mut Self {
        if !well {
            self.wrong.push(FieldError::new(field, why));
        }
        self
    }

    /// Notes that a text has fewer or more characters than allowed.
    pub fn length(&mut self, field: &str, text: &str, allowed: RangeInclusive<usize>) -> &mut Self {
        let (low, high) = (*allowed.start(), *allowed.end());
        // A character has at most four bytes: most texts need not be counted.
        if text.len() > high.saturating_mul(4) || text.len() < low || !allowed.contains(&text.chars().count()) {
            self.wrong.push(FieldError::new(field, format!("must have {low} to {high} characters")));
        }
        self
    }

    /// Notes that a number is outside of a range.
    pub fn range<N: PartialOrd + std::fmt::Display>(
        &mut self,
        field: &str,
        n: N,
        allowed: RangeInclusive<N>,
    ) -> &mut Self {
        if !allowed.contains(&n) {
            let why = format!("must be {} to {}", allowed.start(), allowed.end());
            self.wrong.push(FieldError::new(field, why));
        }
        self
    }

    /// All that was wrong, as a failure.
    pub fn finish(self) -> Result<(), Failure> {
        if self.wrong.is_empty() { Ok(()) } else { Err(Failure::invalid(self.wrong)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_collects_all_that_is_wrong() {
        let mut check = Check::new();
        check.field("a", false, "is empty").field("b", true, "is empty").length("c", "éé", 3..=5).range("d", 7, 1..=6);
        let wrong: Vec<_> = check.finish().unwrap_err().fields().iter().map(ToString::to_string).collect();
        assert_eq!(wrong, ["a is empty", "c must have 3 to 5 characters", "d must be 1 to 6"]);
    }

    #[test]
    fn a_length_counts_characters_not_bytes() {
        let mut check = Check::new();
        check.length("title", "éééé", 1..=4).length("title", "😀😀", 2..=2);
        assert!(check.finish().is_ok());
    }
}
