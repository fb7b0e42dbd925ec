//! How fast one types: suggestions and search over many titles of one owner. Short in every run of the tests; in full:
//!
//! ```text
//! cargo test --release -p monolite-documents --test million -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used)]

mod world;

use monolite_documents::*;
use monolite_service::Json;
use std::time::{Duration, Instant};
use world::{User, World};

/// Words as a language has them: the k-th is about k times as rare as the first, and a third of the titles have one of
/// their own.
struct Language {
    words: Vec<String>,
    state: u64,
}

impl Language {
    fn new(words: usize) -> Self {
        let mut language = Language { words: Vec::new(), state: 0x2545_F491_4F6C_DD1D };
        language.words = (0..words).map(|n| language.letters(2 + n % 8)).collect();
        language
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn letters(&mut self, n: usize) -> String {
        const COMMON_FIRST: &[u8] = b"eeetttaaooiinnsshhrrdlcumwfgypbvkjxqz";
        (0..n).map(|_| char::from(COMMON_FIRST[(self.next() % COMMON_FIRST.len() as u64) as usize])).collect()
    }

    fn word(&mut self) -> &str {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let at = ((self.words.len() as f64).powf(unit) as usize).min(self.words.len() - 1);
        &self.words[at]
    }

    fn text(&mut self, words: usize) -> String {
        (0..words).map(|_| self.word().to_owned()).collect::<Vec<_>>().join(" ")
    }

    fn document(&mut self, n: usize) -> NewDocument {
        let mut title = self.text(3);
        if n.is_multiple_of(3) {
            title = format!("{title} {}", self.letters(9));
        }
        let body = Json::of(&serde_json::json!({ "title": title, "text": self.text(12), "n": n })).unwrap();
        NewDocument::new(Some(format!("key {n}")), Some(title), body)
    }
}

fn fill(user: &User<'_>, language: &mut Language, documents: usize) -> Duration {
    let mut writing = Duration::ZERO;
    for batch in 0..documents.div_ceil(IMPORT_DOCUMENTS_MAX) {
        let numbers = batch * IMPORT_DOCUMENTS_MAX..documents.min((batch + 1) * IMPORT_DOCUMENTS_MAX);
        let documents = numbers.map(|n| language.document(n)).collect();
        let began = Instant::now();
        user.call(ImportDocuments { owner: None, documents }).unwrap();
        writing += began.elapsed();
    }
    writing
}

/// The median and the 99th percentile of something done for each text, many times over.
fn timed(what: &str, texts: &[String], rounds: usize, mut f: impl FnMut(&str) -> usize) -> (Duration, Duration) {
    let mut times = Vec::with_capacity(texts.len() * rounds);
    let mut found = 0;
    for text in texts.iter().cycle().take(texts.len() * rounds) {
        let began = Instant::now();
        found += f(text);
        times.push(began.elapsed());
    }
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let (median, p99) = (at(0.5), at(0.99));
    println!("{what:38} p50 {median:>9.1?}  p99 {p99:>9.1?}  max {:>9.1?}  mean hits {}", at(1.0), found / times.len());
    (median, p99)
}

fn type_ahead(documents: usize, rounds: usize) -> Duration {
    let world = World::new();
    let user = world.user(1);
    let mut language = Language::new(300_000.min(documents));
    let took = fill(&user, &mut language, documents);
    let bytes = world.host.store("Documents").unwrap().status().file_bytes;
    println!(
        "{documents} documents imported in {took:.1?}, {:.1} us each; file {} MiB",
        took.as_secs_f64() * 1e6 / documents as f64,
        bytes >> 20
    );
    let prefixes = |letters: usize| -> Vec<String> {
        let mut language = Language::new(1000);
        (0..40).map(|_| language.word().chars().take(letters).collect()).collect()
    };
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    let suggest =
        |text: &str| user.call(TitleSuggestions { prefix: text.into(), ..Default::default() }).unwrap().items.len();
    let search = |text: &str| user.call(DocumentSearch { q: text.into(), ..Default::default() }).unwrap().items.len();
    let (_, one_letter) = timed("suggest, one letter", &letters, rounds, suggest);
    timed("suggest, two letters", &prefixes(2), rounds, suggest);
    timed("suggest, four letters", &prefixes(4), rounds, suggest);
    timed("search, one letter", &letters, rounds, search);
    timed("search, two letters", &prefixes(2), rounds, search);
    timed("search, three letters", &prefixes(3), rounds.min(20), search);
    timed("search, a word", &(0..40).map(|_| language.text(1) + " ").collect::<Vec<_>>(), rounds, search);
    timed("search, two words", &(0..40).map(|_| language.text(2) + " ").collect::<Vec<_>>(), rounds.min(20), search);
    one_letter
}

#[test]
fn typing_over_twenty_thousand_titles_is_quick() {
    // Generous: this also runs unoptimised, beside other tests, on slow machines.
    assert!(type_ahead(20_000, 4) < Duration::from_millis(50));
}

#[test]
#[ignore = "takes a minute or two, in a release build"]
fn one_letter_over_a_million_titles_is_answered_within_a_millisecond() {
    assert!(type_ahead(1_000_000, 100) < Duration::from_millis(1));
}
