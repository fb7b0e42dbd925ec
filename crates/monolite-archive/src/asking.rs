//! Asking a place many things in a row.
//!
//! Never here: what changes something in it; that is tried again as a whole.

use crate::{Error, Kind, Result};

/// How often a place that has answered is asked the same before it counts as one that does not.
const ASKED_MAX: usize = 4;

/// Asks a place that has answered before again, where it fails: a look at where an archive stands has some twenty questions, and
/// one that fails now and then would hardly ever answer all of them in a row. One that does not answer the first is asked no more.
#[derive(Default)]
pub(crate) struct Asking {
    answered: bool,
}

impl Asking {
    pub(crate) fn ask<T>(&mut self, mut question: impl FnMut() -> Result<T>) -> Result<T> {
        let mut asked = 1;
        loop {
            match question() {
                Err(e) if self.answered && asked < ASKED_MAX && unanswered(&e) => asked += 1,
                other => {
                    self.answered |= other.is_ok();
                    return other;
                }
            }
        }
    }
}

fn unanswered(e: &Error) -> bool {
    matches!(e.kind(), Kind::Unreachable | Kind::OutcomeUnknown)
}
