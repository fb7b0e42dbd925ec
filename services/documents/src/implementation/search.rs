//! Search: which of an owner's documents have all of some words, best first, in bounded work.
//!
//! BM25 counts the documents of each word, so its cost grows with what an owner has. It is used while there are at most
//! [`RANKED_MAX`] hits and no word is in more than [`COUNTED_MAX`] documents; beyond, the hits in titles come first and
//! the newest first in each part, which ends after as many rows as are asked for.
//!
//! **Invariants**
//! - The expression for the index is made of folded words only: no text of a user is a syntax error.

use super::owned_words::mark;
use super::suggest::beginning;
use super::{Result, whose};
use crate::contract::{DocumentSearch, Found, Line, Order};
use crate::words::{Words, ends_within_a_word};
use monolite_service::{Outcome, Snapshot, UserId};

/// Most hits that are ordered by relevance.
const RANKED_MAX: usize = 256;
/// Most documents of one word for which its rarity is counted.
const COUNTED_MAX: usize = 2048;
/// Words of a query that count.
const QUERY_WORDS_MAX: usize = 16;
/// A shorter unfinished word is completed from titles: all words that begin with two letters are too many.
const PREFIX_CHARS_MIN: usize = 3;
/// Completions of a short unfinished word.
const COMPLETIONS_MAX: usize = 8;
const FOUND_DEFAULT: u32 = 20;

const NEWEST: &str = "SELECT rowid FROM words WHERE words MATCH ?1 ORDER BY rowid DESC LIMIT ?2";
const BEST: &str = "SELECT rowid FROM words WHERE words MATCH ?1 ORDER BY bm25(words, 8.0, 1.0), rowid DESC LIMIT ?2";
const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ?1 LIMIT ?2)";
const LINE: &str = "SELECT id, key, title, version, changed_at, octet_length(body) AS bytes
    FROM documents WHERE seq = ? AND owner_id = ?";

pub(super) fn search(s: &Snapshot<'_>, m: &DocumentSearch) -> Outcome<DocumentSearch> {
    let owner = whose(s, m.owner)?;
    let limit = m.limit.unwrap_or(FOUND_DEFAULT) as usize;
    let terms = terms(s, owner, &m.q)?;
    let all = terms.join(" AND ");
    if all.is_empty() {
        return Ok(Found { items: Vec::new(), order: Order::Relevance });
    }
    let newest: Vec<i64> = s.all(NEWEST, (&all, RANKED_MAX + 1))?;
    if newest.len() <= RANKED_MAX && are_countable(s, &terms)? {
        let best = s.all(BEST, (&all, RANKED_MAX))?;
        return Ok(Found { items: lines(s, owner, best, limit)?, order: Order::Relevance });
    }
    let mut rows: Vec<i64> = s.all(NEWEST, (format!("{{title}} : ({all})"), limit))?;
    rows.extend(newest);
    Ok(Found { items: lines(s, owner, rows, limit)?, order: Order::TitleThenNewest })
}

/// The words of a query as expressions for the index.
fn terms(s: &Snapshot<'_>, owner: UserId, q: &str) -> Result<Vec<String>> {
    let (mark, words) = (mark(owner), Words::of(q));
    let mut words: Vec<&str> = words.split(' ').filter(|w| !w.is_empty()).take(QUERY_WORDS_MAX).collect();
    let unfinished = if ends_within_a_word(q) { words.pop() } else { None };
    let mut terms: Vec<String> = words.iter().map(|w| format!("\"{mark}{w}\"")).collect();
    match unfinished {
        Some(word) if word.chars().count() >= PREFIX_CHARS_MIN => terms.push(format!("\"{mark}{word}\"*")),
        Some(word) => {
            let mut either = format!("(\"{mark}{word}\"");
            for completion in beginning(s, owner, word, COMPLETIONS_MAX)? {
                either.push_str(&format!(" OR \"{mark}{}\"", completion.term));
            }
            terms.push(either + ")");
        }
        None => {}
    }
    Ok(terms)
}

/// Whether counting each word's documents is little work; of a single word the hits are all there is to count.
fn are_countable(s: &Snapshot<'_>, terms: &[String]) -> Result<bool> {
    if terms.len() == 1 {
        return Ok(true);
    }
    for term in terms {
        if s.one::<usize>(COUNT, (term, COUNTED_MAX + 1))?.unwrap_or(0) > COUNTED_MAX {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lines(s: &Snapshot<'_>, owner: UserId, rows: Vec<i64>, limit: usize) -> Result<Vec<Line>> {
    let (mut lines, mut seen) = (Vec::with_capacity(limit.min(rows.len())), Vec::new());
    for seq in rows {
        if lines.len() == limit {
            break;
        }
        if !seen.contains(&seq) {
            seen.push(seq);
            lines.extend(s.one::<Line>(LINE, (seq, owner))?);
        }
    }
    Ok(lines)
}
