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
/// Letters from which on an unfinished word stands for every word that begins so.
const PREFIX_CHARS_MIN: usize = 2;
/// Completions of an unfinished word from titles.
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
    for Reading { terms, hits_enough } in readings(s, owner, &m.q)? {
        let all = terms.join(" AND ");
        let newest: Vec<i64> = s.all(NEWEST, (&all, RANKED_MAX + 1))?;
        if newest.len() < hits_enough {
            continue;
        }
        if newest.len() <= RANKED_MAX && are_countable(s, &terms)? {
            let best = s.all(BEST, (&all, RANKED_MAX))?;
            return Ok(Found { items: lines(s, owner, best, limit)?, order: Order::Relevance });
        }
        let mut rows: Vec<i64> = s.all(NEWEST, (format!("{{title}} : ({all})"), limit))?;
        rows.extend(newest);
        return Ok(Found { items: lines(s, owner, rows, limit)?, order: Order::TitleThenNewest });
    }
    Ok(Found { items: Vec::new(), order: Order::Relevance })
}

/// One way to read a query: expressions for the index that must all match, and how many hits make it the answer.
struct Reading {
    terms: Vec<String>,
    hits_enough: usize,
}

/// The ways to read a query, best first.
///
/// An unfinished word is first read as one of the frequent words of titles that begin so, which is cheap and, with many
/// hits, will do. Then as any word that begins so: for that the index gathers all documents of all those words before it
/// answers the first row. For a single letter those are too many; it is left out instead, if other words are there.
fn readings(s: &Snapshot<'_>, owner: UserId, q: &str) -> Result<Vec<Reading>> {
    let (mark, words) = (mark(owner), Words::of(q));
    let mut words: Vec<&str> = words.split(' ').filter(|w| !w.is_empty()).take(QUERY_WORDS_MAX).collect();
    let unfinished = if ends_within_a_word(q) { words.pop() } else { None };
    let finished: Vec<String> = words.iter().map(|w| format!("\"{mark}{w}\"")).collect();
    let with = |last: String| finished.iter().cloned().chain([last]).collect();
    let mut readings = Vec::new();
    if let Some(word) = unfinished {
        let mut either = format!("(\"{mark}{word}\"");
        for completion in beginning(s, owner, word, COMPLETIONS_MAX)? {
            either.push_str(&format!(" OR \"{mark}{}\"", completion.term));
        }
        let is_long = word.chars().nth(PREFIX_CHARS_MIN - 1).is_some();
        readings.push(Reading { terms: with(either + ")"), hits_enough: if is_long { RANKED_MAX + 1 } else { 1 } });
        if is_long {
            readings.push(Reading { terms: with(format!("\"{mark}{word}\"*")), hits_enough: 0 });
            return Ok(readings);
        }
    }
    if !finished.is_empty() {
        readings.push(Reading { terms: finished, hits_enough: 0 });
    }
    Ok(readings)
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
