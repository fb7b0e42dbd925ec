//! The requests: the same for both sides but for their paths.

use crate::http::client::request_of;
use crate::random::Random;
use serde::{Deserialize, Serialize};

/// Items of a page.
pub(crate) const LIST_PAGE: u32 = 30;
/// Words of an item's content.
const WORDS: [&str; 8] = ["lantern", "harbour", "thicket", "granite", "meadow", "copper", "willow", "ember"];

/// How one side's paths look.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// The collection; an id is added after a slash.
    pub(crate) collection: String,
    /// What makes it a page of [`LIST_PAGE`].
    pub(crate) list_query: String,
}

/// What is asked, by weight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mix {
    /// One record by its id.
    pub(crate) get: u32,
    /// A page.
    pub(crate) list: u32,
    /// A new record.
    pub(crate) create: u32,
    /// One field of one record.
    pub(crate) update: u32,
}

/// The JSON of a new item from a random number: about 150 bytes.
pub(crate) fn item(random: u64) -> String {
    let word = |n: u64| WORDS[(random >> (n * 3)) as usize % WORDS.len()];
    let content: Vec<&str> = (1..13).map(word).collect();
    format!(
        r#"{{"title":"{} {}","amount":{},"content":"{}"}}"#,
        word(0),
        random % 1_000_000,
        random % 1000,
        content.join(" ")
    )
}

/// Makes one connection's requests.
pub(super) struct Requests {
    pub(super) shape: Shape,
    pub(super) bearer: String,
    pub(super) mix: Mix,
    pub(super) random: Random,
}

impl Requests {
    /// The next request's bytes.
    pub(super) fn next(&mut self, ids: &[String]) -> Vec<u8> {
        let Mix { get, list, create, update } = self.mix;
        let (n, random) = ((self.random.next() % u64::from(get + list + create + update)) as u32, self.random.next());
        let one = || format!("{}/{}", self.shape.collection, ids[random as usize % ids.len()]);
        let bytes = |method, path: &str, body: Option<&str>| {
            request_of(method, path, Some(&self.bearer), body.map(str::as_bytes))
        };
        if n < get {
            bytes("GET", &one(), None)
        } else if n < get + list {
            bytes("GET", &format!("{}{}", self.shape.collection, self.shape.list_query), None)
        } else if n < get + list + create {
            bytes("POST", &self.shape.collection, Some(&item(random)))
        } else {
            let amount = format!(r#"{{"amount":{}}}"#, (random >> 32) % 1000);
            bytes("PATCH", &one(), Some(&amount))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_asks_by_its_weights() {
        let shape = Shape { collection: "/items".into(), list_query: "?limit=30".into() };
        let mix = Mix { get: 80, list: 10, create: 5, update: 5 };
        let mut requests = Requests { shape, bearer: "t".into(), mix, random: Random::new(3) };
        let ids = ["a".to_string(), "b".to_string()];
        let all: Vec<String> = (0..10_000).map(|_| String::from_utf8(requests.next(&ids)).expect("is text")).collect();
        let share = |begin: &str| all.iter().filter(|r| r.starts_with(begin)).count() as f64 / 100.0;
        for (begin, percent) in [("GET /items/", 80.0), ("GET /items?", 10.0), ("POST /items ", 5.0), ("PATCH ", 5.0)] {
            assert!((share(begin) - percent).abs() < 1.5, "{begin}: {}", share(begin));
        }
    }

    #[test]
    fn an_item_has_three_fields_within_the_limits_of_both_sides() {
        for n in 0..100 {
            let text = item(Random::new(n).next());
            let value: serde_json::Value = serde_json::from_str(&text).expect("parses");
            assert!((100..250).contains(&text.len()), "{} bytes", text.len());
            assert_eq!(value.as_object().map(serde_json::Map::len), Some(3));
            assert!(value["title"].as_str().is_some_and(|t| (1..=crate::items::TITLE_MAX).contains(&t.len())));
            assert!(value["content"].as_str().is_some_and(|t| t.len() <= crate::items::CONTENT_MAX));
        }
    }
}
