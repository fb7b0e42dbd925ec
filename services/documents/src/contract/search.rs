//! Search and suggestions: what an owner finds while typing.

use super::{Line, QUERY_BYTES_MAX};
use monolite_service::{UserId, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most documents that one search answers with.
pub const FOUND_MAX: u32 = 100;
/// Most suggestions in one answer.
pub const SUGGESTIONS_MAX: u32 = 20;

/// The caller's documents in which each word of a text is found; the last word may be unfinished.
///
/// Case, accents and punctuation make no difference, and no character has a meaning of its own. A text without a
/// letter or digit finds nothing. A single unfinished letter stands for frequent words of titles; where that finds
/// nothing it is left out. Of a document, its title and the first 64 KiB of words in its string values are searched.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DocumentSearch {
    /// What to look for.
    pub q: String,
    /// Most documents to answer with; 20 unless given, 100 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Whose documents; the caller's own unless an admin names another user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
}

message!(DocumentSearch => Found, check |m, c| {
    c.field("q", m.q.len() <= QUERY_BYTES_MAX, "is longer than 256 bytes");
    c.range("limit", m.limit.unwrap_or(1), 1..=FOUND_MAX);
});

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// The documents, best first.
    pub items: Vec<Line>,
    /// How they are ordered.
    pub order: Order,
}

/// How the documents of a search are ordered: by relevance while that is bounded work, else by a coarser rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// By how often the words occur and how rare they are (BM25); a word in the title counts eight times.
    Relevance,
    /// There are many: those with the words in the title first, in each part the newest first.
    TitleThenNewest,
}

/// What the last word of a text could become: words from the titles of the caller's documents, the frequent ones first.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct TitleSuggestions {
    /// The text so far.
    pub prefix: String,
    /// Most suggestions to answer with; 10 unless given, 20 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// From whose titles; the caller's own unless an admin names another user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
}

message!(TitleSuggestions => Suggestions, check |m, c| {
    c.field("prefix", m.prefix.len() <= QUERY_BYTES_MAX, "is longer than 256 bytes");
    c.range("limit", m.limit.unwrap_or(1), 1..=SUGGESTIONS_MAX);
});

/// Completions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suggestions {
    /// The completions, best first.
    pub items: Vec<Suggestion>,
}

/// A completion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suggestion {
    /// The text with its last word completed.
    pub text: String,
    /// The completed word alone.
    pub word: String,
    /// In how many titles the word is.
    pub documents: u64,
}
