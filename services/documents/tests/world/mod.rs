//! A host with Documents alone, on real files in a temporary folder; users are known by number.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test file uses its part

use monolite_documents::*;
use monolite_runtime::{Assembly, BackgroundMode, Host};
use monolite_service::{Caller, Error, Json, Message, Outcome, Refused, TimeOrdered, UserId, Uuid};
use std::sync::Arc;

pub struct World {
    pub host: Host,
    pub folder: tempfile::TempDir,
}

impl World {
    pub fn new() -> World {
        World::with(service())
    }

    pub fn with(service: monolite_service::Service) -> World {
        let folder = tempfile::tempdir().unwrap();
        World { host: open(folder.path(), service), folder }
    }

    pub fn user(&self, n: u128) -> User<'_> {
        let id = UserId(Uuid::from_u128(n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)));
        User { host: &self.host, id, caller: Caller::signed_in(id) }
    }

    pub fn admin(&self) -> User<'_> {
        let user = self.user(u128::MAX);
        User { caller: user.caller.clone().with_roles(["admin"]), ..user }
    }

    pub fn call<M: Message>(&self, caller: &Caller, message: M) -> Outcome<M> {
        self.host.call_blocking(caller, message)
    }

    /// Everything the file holds, read beside the service.
    pub fn count(&self, sql: &'static str) -> i64 {
        let store = self.host.store("Documents").unwrap();
        store.read_blocking::<_, monolite_store::Error, _>(|s| s.query_row(sql, [], |row| row.get(0))).unwrap()
    }
}

pub fn open(folder: &std::path::Path, service: monolite_service::Service) -> Host {
    let assembly = Assembly::new(folder).service(service).ids(Arc::new(TimeOrdered::seeded(7)));
    assembly.background(BackgroundMode::Off).open().unwrap()
}

pub struct User<'w> {
    host: &'w Host,
    pub id: UserId,
    pub caller: Caller,
}

impl User<'_> {
    pub fn call<M: Message>(&self, message: M) -> Outcome<M> {
        self.host.call_blocking(&self.caller, message)
    }

    pub fn create(&self, title: &str, body: &str) -> Stored {
        self.call(CreateDocument::new(json(body)).titled(title)).unwrap()
    }

    pub fn read(&self, id: DocumentId) -> Result<Document, Error> {
        self.call(DocumentById { id })
    }

    /// The titles that a search finds, best first.
    pub fn search(&self, q: &str) -> Vec<String> {
        let found = self.call(DocumentSearch { q: q.into(), limit: Some(100), owner: None }).unwrap();
        found.items.into_iter().map(|line| line.title.unwrap_or_default()).collect()
    }

    /// The words that complete a text, best first.
    pub fn suggest(&self, prefix: &str) -> Vec<String> {
        let suggestions = self.call(TitleSuggestions { prefix: prefix.into(), ..Default::default() }).unwrap();
        suggestions.items.into_iter().map(|s| s.text).collect()
    }

    /// The titles of all documents, newest first.
    pub fn titles(&self) -> Vec<String> {
        let mut of = DocumentsByOwner::default();
        let mut titles = Vec::new();
        loop {
            let page = self.call(of.clone()).unwrap();
            titles.extend(page.items.into_iter().map(|line| line.title.unwrap_or_default()));
            match page.next {
                Some(next) => of.page = of.page.after(next),
                None => return titles,
            }
        }
    }
}

pub fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

#[track_caller]
pub fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Refused {
    match outcome {
        Err(Error::Refused(refused)) => refused,
        other => panic!("not refused: {other:?}"),
    }
}

/// Texts that break what is put together from text.
pub const HOSTILE: &[&str] = &[
    "'; DROP TABLE documents; --",
    "\" OR 1=1 --",
    "NEAR(a b, 2) AND NOT title:x* ^y",
    "{title} : (",
    "*",
    "\"",
    "((((((((",
    "a\" AND \"b",
    "AND OR NOT",
    "\u{0}\u{1}\u{7f}",
    "%_\\%",
    "$1 ?1 :name @x",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "\u{202e}\u{feff}\u{10ffff}\u{fffd}",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 👩‍👩‍👧 ﷽",
    "ＳＥＬＥＣＴ",
];
