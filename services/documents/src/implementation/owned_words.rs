//! The words' index: every word is kept with its owner's mark before it.
//!
//! So the documents that have a word are, in the index, one owner's alone: a search costs what the owner has, not what
//! all have, and how rare a word is says nothing about others. Two owners may by chance have the same mark (one pair in
//! a thousand million); therefore every row that is found is still compared with its owner.
//!
//! **Invariants**
//! - A document is here under its `seq`, exactly when it is in `documents`.

use super::Result;
use crate::words::Words;
use monolite_service::{Tx, UserId};

const ADD: &str = "INSERT INTO words (rowid, title, body) VALUES (?, ?, ?)";
const REMOVE: &str = "DELETE FROM words WHERE rowid = ?";

const MARK_CHARS: usize = 6;

/// The characters before each of an owner's words.
pub(super) fn mark(owner: UserId) -> String {
    let low = owner.0.as_u128();
    (0..MARK_CHARS).map(|n| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(low >> (5 * n)) as usize & 31])).collect()
}

pub(super) fn add(tx: &Tx<'_>, owner: UserId, seq: i64, title: Option<&str>, body_words: &str) -> Result<()> {
    let mark = mark(owner);
    let title_words = title.map(Words::of).unwrap_or_default();
    tx.run(ADD, (seq, marked(&mark, &title_words), marked(&mark, body_words)))?;
    Ok(())
}

pub(super) fn remove(tx: &Tx<'_>, seq: i64) -> Result<()> {
    tx.run(REMOVE, [seq])?;
    Ok(())
}

fn marked(mark: &str, words: &str) -> String {
    let mut text = String::with_capacity(words.len() + words.len() / 3 * MARK_CHARS + MARK_CHARS);
    for word in words.split(' ').filter(|w| !w.is_empty()) {
        text.push_str(mark);
        text.push_str(word);
        text.push(' ');
    }
    text
}
