//! Suggestions: the owner's most used title words that begin as the last typed word does.
//!
//! Any prefix is answered by walking the levels of use from the top, each a range of one index that ends after a few
//! rows. So the empty-looking case, one letter over a million titles, costs some twenty short seeks.

use super::{Result, whose};
use crate::contract::{Suggestion, Suggestions, TitleSuggestions};
use crate::words::{Words, split_last};
use monolite_service::{Outcome, Snapshot, UserId};
use serde::Deserialize;

const TOP_LEVEL: &str = "SELECT level FROM terms WHERE owner_id = ? AND level > 0 ORDER BY level DESC LIMIT 1";
// Told which index to take: the planner, knowing nothing of how many terms begin so, prefers the primary key.
const AT_LEVEL: &str = "SELECT term, uses FROM terms INDEXED BY terms_level
    WHERE owner_id = ?1 AND level = ?2 AND level > 0 AND term >= ?3 AND term < ?4 ORDER BY term LIMIT ?5";
// Steps over terms of higher levels, but only when fewer of those than the limit begin so.
const RARE: &str = "SELECT term, uses FROM terms
    WHERE owner_id = ?1 AND term >= ?2 AND term < ?3 AND level = 0 ORDER BY term LIMIT ?4";

const SUGGESTIONS_DEFAULT: u32 = 10;

/// A word of titles, and in how many it is.
#[derive(Deserialize, Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) term: String,
    pub(super) uses: u64,
}

pub(super) fn suggest(s: &Snapshot<'_>, m: &TitleSuggestions) -> Outcome<TitleSuggestions> {
    let owner = whose(s, m.owner)?;
    let (before, last) = split_last(&m.prefix);
    let terms = beginning(s, owner, &Words::of(last), m.limit.unwrap_or(SUGGESTIONS_DEFAULT) as usize)?;
    let items =
        terms.into_iter().map(|t| Suggestion { text: format!("{before}{}", t.term), word: t.term, documents: t.uses });
    Ok(Suggestions { items: items.collect() })
}

/// The owner's terms that begin with a folded word, by level of use and within it by the alphabet.
pub(super) fn beginning(s: &Snapshot<'_>, owner: UserId, word: &str, limit: usize) -> Result<Vec<Term>> {
    if word.is_empty() {
        return Ok(Vec::new());
    }
    let end = format!("{word}\u{10ffff}"); // after all words that begin so: no letter is as high
    let mut found: Vec<Term> = Vec::with_capacity(limit);
    let top: i64 = s.one(TOP_LEVEL, [owner])?.unwrap_or(0);
    for level in (1..=top).rev() {
        let missing = limit - found.len();
        found.extend(s.all::<Term>(AT_LEVEL, (owner, level, word, &end, missing))?);
        if found.len() == limit {
            return Ok(found);
        }
    }
    let missing = limit - found.len();
    found.extend(s.all::<Term>(RARE, (owner, word, &end, missing))?);
    Ok(found)
}
