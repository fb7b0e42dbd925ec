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

// A read and then a plain change: an upsert with RETURNING would do it in one, but SQLite opens a journal for such a
// statement alone, and that costs more than the read (a title of three words: 28 us of writer time against 44-61).
const USES: &str = "SELECT uses FROM terms WHERE owner_id = ? AND term = ?";
const INSERT: &str = "INSERT INTO terms (owner_id, term, uses, level) VALUES (?, ?, 1, 0)";
const SET_USES: &str = "UPDATE terms SET uses = ?3 WHERE owner_id = ?1 AND term = ?2";
const SET_USES_AND_LEVEL: &str = "UPDATE terms SET uses = ?3, level = ?4 WHERE owner_id = ?1 AND term = ?2";
const REMOVE: &str = "DELETE FROM terms WHERE owner_id = ? AND term = ?";

pub(super) fn add(tx: &Tx<'_>, owner: UserId, title: Option<&str>) -> Result<()> {
    each_word(title, |word| change(tx, owner, word, |uses| uses + 1))
}

pub(super) fn remove(tx: &Tx<'_>, owner: UserId, title: Option<&str>) -> Result<()> {
    each_word(title, |word| change(tx, owner, word, |uses| uses.saturating_sub(1)))
}

fn change(tx: &Tx<'_>, owner: UserId, word: &str, change: impl Fn(u64) -> u64) -> Result<()> {
    let before: u64 = tx.one(USES, (owner, word))?.unwrap_or(0);
    let uses = change(before);
    match (before, uses) {
        (0, 0) => return Ok(()),
        (0, _) => tx.run(INSERT, (owner, word))?,
        (_, 0) => tx.run(REMOVE, (owner, word))?,
        _ if before.ilog2() == uses.ilog2() => tx.run(SET_USES, (owner, word, uses))?,
        _ => tx.run(SET_USES_AND_LEVEL, (owner, word, uses, uses.ilog2()))?,
    };
    Ok(())
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
