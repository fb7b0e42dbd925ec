//! Search and suggestions: what is found, in which order, and that any text may be typed.

mod world;

use monolite_documents::*;
use monolite_service::{Caller, UserId, Uuid};
use proptest::prelude::*;
use world::{HOSTILE, World};

#[test]
fn each_word_must_be_there_and_the_last_may_be_unfinished() {
    let world = World::new();
    let ann = world.user(1);
    ann.create("Tomato soup", r#"{"steps":["Chop the Basil", {"then":"boil"}],"n":1}"#);
    ann.create("Tomato salad", r#"{"steps":["Chop the cress"]}"#);
    ann.create("Crème brûlée", r#"{"steps":["Burn sugar"]}"#);
    let check = |q: &str, mut titles: Vec<&str>| {
        let mut found = ann.search(q);
        found.sort();
        titles.sort();
        assert_eq!(found, titles, "{q:?}");
    };
    check("tomato", vec!["Tomato salad", "Tomato soup"]);
    check("TOMATO chop", vec!["Tomato salad", "Tomato soup"]);
    check("tomato basil", vec!["Tomato soup"]);
    check("tom", vec!["Tomato salad", "Tomato soup"]);
    check("chop bas", vec!["Tomato soup"]);
    check("tom ", vec![]); // a space after it: the word is finished
    check("tom basil", vec![]); // only the last may be unfinished
    check("t", vec!["Tomato salad", "Tomato soup"]); // one letter: completed from titles
    check("chop b", vec!["Tomato salad", "Tomato soup"]); // no title has such a word: as if it were not there yet
    check("chop c", vec!["Tomato salad", "Tomato soup"]);
    check("chop ba", vec!["Tomato soup"]);
    check("ba", vec!["Tomato soup"]);
    check("to", vec!["Tomato salad", "Tomato soup"]);
    check("creme BRU", vec!["Crème brûlée"]);
    check("then", vec![]); // a member's name
    check("steps", vec![]);
    check("", vec![]);
    check("  .,-", vec![]);
}

#[test]
fn no_text_of_a_user_is_a_syntax_error() {
    let world = World::new();
    let ann = world.user(1);
    ann.create("Tomato soup", "1");
    for text in HOSTILE {
        ann.search(text);
        ann.search(&format!("tomato {text}"));
        ann.suggest(text);
    }
    assert_eq!(ann.search("\"tomato\" OR (soup*"), Vec::<String>::new(), "OR is a word like any other");
    assert_eq!(ann.search("(\"tomato\" soup*"), ["Tomato soup"]);
}

#[test]
fn a_title_counts_more_than_a_text_and_a_rare_word_more_than_a_common_one() {
    let world = World::new();
    let ann = world.user(1);
    ann.create("About cress", r#"{"a":"basil"}"#);
    ann.create("About basil", r#"{"a":"cress"}"#);
    for n in 0..30 {
        ann.create(&format!("Other {n}"), r#"{"a":"nothing"}"#);
    }
    assert_eq!(ann.search("basil"), ["About basil", "About cress"]);
    ann.create("Long", &format!(r#"{{"a":"basil {}"}}"#, "filler ".repeat(200)));
    assert_eq!(ann.search("basil").last().unwrap(), "Long");
}

#[test]
fn many_hits_are_ordered_by_title_then_newest() {
    let world = World::new();
    let ann = world.user(1);
    ann.create("The word common", "1");
    for n in 0..400 {
        ann.create(&format!("{n}"), r#"{"a":"common"}"#);
    }
    let found = ann.call(DocumentSearch { q: "common".into(), limit: Some(3), owner: None }).unwrap();
    assert_eq!(found.order, Order::TitleThenNewest);
    let titles: Vec<_> = found.items.iter().map(|line| line.title.as_deref().unwrap()).collect();
    assert_eq!(titles, ["The word common", "399", "398"]);
}

#[test]
fn two_owners_with_the_same_mark_find_their_own_only() {
    let world = World::new();
    let of = |high: u128| Caller::signed_in(UserId(Uuid::from_u128(high << 64 | 0x1234_5678)));
    let (ann, bob) = (of(1), of(2)); // the mark is made of the low bits
    let create = |caller: &Caller, title: &str| {
        world.call(caller, CreateDocument::new(world::json(r#""basil""#)).titled(title)).unwrap()
    };
    create(&ann, "Ann's");
    create(&bob, "Bob's");
    for (caller, title) in [(&ann, "Ann's"), (&bob, "Bob's")] {
        let found = world.call(caller, DocumentSearch { q: "basil".into(), ..Default::default() }).unwrap();
        let titles: Vec<_> = found.items.iter().map(|line| line.title.as_deref().unwrap()).collect();
        assert_eq!(titles, [title]);
    }
}

#[test]
fn a_search_sees_what_was_acknowledged_before_it() {
    let world = World::new();
    let ann = world.user(1);
    for n in 0..100 {
        ann.create("x", &format!(r#""word{n}""#));
        assert_eq!(ann.search(&format!("word{n} ")).len(), 1);
    }
}

#[test]
fn suggestions_complete_the_last_word_from_own_titles() {
    let world = World::new();
    let (ann, bob) = (world.user(1), world.user(2));
    for (title, times) in [("Tomato soup", 5), ("Tomato salad", 2), ("tokio-util", 1), ("Serde_json", 1)] {
        for _ in 0..times {
            ann.create(title, r#"{"text":"tortilla"}"#);
        }
    }
    bob.create("Torte", "1");
    assert_eq!(ann.suggest("t"), ["tomato", "tokio"]);
    assert_eq!(ann.suggest("red To"), ["red tomato", "red tokio"]);
    assert_eq!(ann.suggest("tomato s"), ["tomato soup", "tomato salad", "tomato serde"]);
    assert_eq!(ann.suggest("serde_j"), ["serde_json"]);
    assert_eq!(ann.suggest("tor"), Vec::<String>::new(), "neither from texts nor from others' titles");
    assert_eq!(bob.suggest("t"), ["torte"]);
    assert!(ann.suggest("").is_empty() && ann.suggest("tomato ").is_empty());
}

#[test]
fn suggestions_forget_a_title_that_is_gone() {
    let world = World::new();
    let ann = world.user(1);
    let ids: Vec<_> = (0..9).map(|_| ann.create("Tomato tomato soup", "1").id).collect();
    let uses = || {
        let suggestions = ann.call(TitleSuggestions { prefix: "tom".into(), ..Default::default() }).unwrap();
        suggestions.items.first().map_or(0, |s| s.documents)
    };
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(uses(), 9 - n as u64);
        ann.call(DeleteDocument { id: *id, if_match: None }).unwrap();
    }
    assert_eq!(uses(), 0);
}

const WORDS: [&str; 12] = ["a", "ab", "abc", "abd", "b", "ba", "basil", "bass", "c", "cress", "crème", "abcd"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Against a model: complete, counted right, frequent ones first (by powers of two), nothing else.
    #[test]
    fn suggestions_are_the_frequent_words_first(
        titles in prop::collection::vec(prop::collection::vec(0..WORDS.len(), 1..4), 1..60),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        limit in 1_u32..20,
    ) {
        let world = World::new();
        let ann = world.user(1);
        let title = |words: &Vec<usize>| words.iter().map(|w| WORDS[*w]).collect::<Vec<_>>().join(" ");
        let mut kept: Vec<_> = titles.iter().map(|t| (ann.create(&title(t), "1").id, t.clone())).collect();
        for index in gone {
            if !kept.is_empty() {
                let (id, _) = kept.remove(index.index(kept.len()));
                ann.call(DeleteDocument { id, if_match: None }).unwrap();
            }
        }
        for prefix in ["a", "ab", "b", "bas", "c", "cr", "x"] {
            let mut model: Vec<(String, u64)> = WORDS.iter().map(|w| w.replace('è', "e"))
                .filter(|w| w.starts_with(prefix))
                .map(|w| { let n = kept.iter().filter(|(_, t)| t.iter().any(|i| WORDS[*i].replace('è', "e") == w)).count(); (w, n as u64) })
                .filter(|(_, n)| *n > 0).collect();
            model.sort_by_key(|(w, n)| (std::cmp::Reverse(n.ilog2()), w.clone()));
            model.truncate(limit as usize);
            let answer = ann.call(TitleSuggestions { prefix: prefix.into(), limit: Some(limit), owner: None }).unwrap();
            let answer: Vec<_> = answer.items.into_iter().map(|s| (s.text, s.documents)).collect();
            prop_assert_eq!(answer, model, "{}", prefix);
        }
    }
}
