//! The terms: how many of an owner's titles have each word.
//!
//! **Invariants**
//! - `level` is the binary logarithm of `uses`, rounded down; a term without uses is not there.
//! - A title counts each of its words once, and its first sixteen words at most.

use super::Result;
use crate::words::Words;
use monolite_service::{Tx, UserId};

/// Words of one title that become terms: a bound on the writer's time.
const TITLE_TERMS_MAX: usize = 16;

const ADD: &str = "INSERT INTO terms (owner_id, term, uses, level) VALUES (?, ?, 1, 0)
    ON CONFLICT DO UPDATE SET uses = uses + 1 RETURNING uses";
const SUBTRACT: &str = "UPDATE terms SET uses = uses - 1 WHERE owner_id = ? AND term = ? RETURNING uses";
const SET_LEVEL: &str = "UPDATE terms SET level = ?3 WHERE owner_id = ?1 AND term = ?2";
const REMOVE: &str = "DELETE FROM terms WHERE owner_id = ? AND term = ?";

pub(super) fn add(tx: &Tx<'_>, owner: UserId, title: Option<&str>) -> Result<()> {
    each_word(title, |word| {
        let uses: u64 = tx.insert(ADD, (owner, word))?;
        if uses > 1 && uses.is_power_of_two() {
            tx.run(SET_LEVEL, (owner, word, uses.ilog2()))?;
        }
        Ok(())
    })
}

pub(super) fn remove(tx: &Tx<'_>, owner: UserId, title: Option<&str>) -> Result<()> {
    each_word(title, |word| {
        match tx.one::<u64>(SUBTRACT, (owner, word))?.unwrap_or(0) {
            0 => tx.run(REMOVE, (owner, word))?,
            uses if (uses + 1).is_power_of_two() => tx.run(SET_LEVEL, (owner, word, uses.ilog2()))?,
            _ => 0,
        };
        Ok(())
    })
}

fn each_word(title: Option<&str>, mut f: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let Some(title) = title else { return Ok(()) };
    let words = Words::of(title);
    let mut seen: Vec<&str> = Vec::with_capacity(TITLE_TERMS_MAX);
    for word in words.split(' ').filter(|w| !w.is_empty()).take(TITLE_TERMS_MAX) {
        if !seen.contains(&word) {
            seen.push(word);
            f(word)?;
        }
    }
    Ok(())
}
