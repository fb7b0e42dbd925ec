//! Documents: created, read, replaced, deleted, listed; whose they are; keys.

mod world;

use monolite_documents::*;
use monolite_service::{Error, FailureKind, PageOf, Refused, Uuid};
use world::{HOSTILE, World, json, refused};

#[test]
fn a_document_comes_back_byte_for_byte() {
    let world = World::new();
    let ann = world.user(1);
    for text in ["{}", "null", "1e999", "-0.0", "\"\\ud800\"", " [1,\n 2]".trim(), r#"{"a":1,"a":2,"é":"\u00e9"}"#] {
        let stored = ann.call(CreateDocument::new(json(text)).titled("A title").keyed(text)).unwrap();
        let read = ann.read(stored.id).unwrap();
        assert_eq!(read.body.as_str(), text);
        assert_eq!((read.version, read.title.as_deref(), read.key.as_deref()), (1, Some("A title"), Some(text)));
        assert_eq!((read.owner_id, read.created_at), (ann.id, read.changed_at));
    }
}

#[test]
fn a_document_of_sixteen_mebibytes_comes_back_and_a_larger_one_is_refused() {
    let world = World::new();
    let ann = world.user(1);
    let text = |bytes: usize| json(&format!("\"{}\"", "x".repeat(bytes - 2)));
    let largest = text(DOCUMENT_BYTES_MAX as usize);
    let stored = ann.call(CreateDocument::new(largest.clone())).unwrap();
    assert_eq!(ann.read(stored.id).unwrap().body, largest);
    let refusal = refused(ann.call(CreateDocument::new(text(DOCUMENT_BYTES_MAX as usize + 1))));
    assert_eq!(refusal, Refused::too_large(DOCUMENT_BYTES_MAX));
}

#[test]
fn a_replacement_raises_the_version_and_keeps_the_title_unless_told() {
    let world = World::new();
    let ann = world.user(1);
    let id = ann.create("Tomato soup", r#"{"text":"red"}"#).id;
    let replaced = ann.call(ReplaceDocument::new(id, json(r#"{"text":"green"}"#))).unwrap();
    assert_eq!(replaced, Stored { id, version: 2 });
    let read = ann.read(id).unwrap();
    assert_eq!((read.body.as_str(), read.title.as_deref()), (r#"{"text":"green"}"#, Some("Tomato soup")));
    let renamed = ReplaceDocument { title: Some("Pea soup".into()), ..ReplaceDocument::new(id, json("1")) };
    assert_eq!(ann.call(renamed).unwrap().version, 3);
    assert_eq!(ann.search("pea"), ["Pea soup"]);
    assert!(ann.search("tomato").is_empty() && ann.search("green").is_empty());
    assert!(ann.suggest("tom").is_empty());
}

#[test]
fn a_stale_version_changes_nothing() {
    let world = World::new();
    let ann = world.user(1);
    let id = ann.create("One", "1").id;
    let replace = |if_match| ann.call(ReplaceDocument { if_match, ..ReplaceDocument::new(id, json("2")) });
    assert_eq!(refused(replace(Some(2))), Refused::Stale);
    assert_eq!(refused(ann.call(DeleteDocument { id, if_match: Some(9) })), Refused::Stale);
    assert_eq!(ann.read(id).unwrap().body.as_str(), "1");
    assert_eq!(replace(Some(1)).unwrap().version, 2);
    ann.call(DeleteDocument { id, if_match: Some(2) }).unwrap();
    assert_eq!(refused(ann.read(id)), Refused::not_found("document"));
}

#[test]
fn what_is_deleted_leaves_nothing_behind() {
    let world = World::new();
    let ann = world.user(1);
    let ids: Vec<_> = (0..20).map(|n| ann.create(&format!("Soup {n}"), r#"{"a":"basil"}"#).id).collect();
    for id in ids {
        ann.call(DeleteDocument { id, if_match: None }).unwrap();
    }
    assert!(ann.titles().is_empty() && ann.search("basil").is_empty() && ann.suggest("so").is_empty());
    assert_eq!(world.count("SELECT (SELECT count(*) FROM documents) + (SELECT count(*) FROM terms)"), 0);
}

#[test]
fn a_foreign_document_does_not_exist() {
    let world = World::new();
    let (ann, bob, admin) = (world.user(1), world.user(2), world.admin());
    let id = ann.call(CreateDocument::new(json(r#"{"a":"secret"}"#)).titled("Secret plan").keyed("k")).unwrap().id;
    let absent = Refused::not_found("document");
    for id in [id, Uuid::from_u128(5), Uuid::nil(), Uuid::max()] {
        assert_eq!(refused(bob.read(id)), absent);
        assert_eq!(refused(bob.call(ReplaceDocument::new(id, json("1")))), absent);
        assert_eq!(
            refused(bob.call(ReplaceDocument { if_match: Some(7), ..ReplaceDocument::new(id, json("1")) })),
            absent
        );
        assert_eq!(refused(bob.call(DeleteDocument { id, if_match: None })), absent);
    }
    assert!(bob.titles().is_empty() && bob.search("secret").is_empty() && bob.suggest("s").is_empty());
    assert_eq!(bob.call(CreateDocument::new(json("1")).keyed("k")).unwrap().version, 1, "a key is its owner's");
    let of_ann = DocumentsByOwner { owner: Some(ann.id), ..Default::default() };
    assert!(matches!(refused(bob.call(of_ann.clone())), Refused::Forbidden { .. }));
    assert!(matches!(
        refused(bob.call(DocumentSearch { q: "a".into(), owner: Some(ann.id), limit: None })),
        Refused::Forbidden { .. }
    ));

    assert_eq!(admin.read(id).unwrap().title.as_deref(), Some("Secret plan"));
    assert_eq!(admin.call(of_ann).unwrap().items.len(), 1);
    assert_eq!(
        admin.call(DocumentSearch { q: "plan".into(), owner: Some(ann.id), limit: None }).unwrap().items.len(),
        1
    );
    assert!(admin.search("plan").is_empty(), "an admin's own search is of their own documents");
    admin.call(DeleteDocument { id, if_match: None }).unwrap();
    assert_eq!(refused(ann.read(id)), absent);
}

#[test]
fn a_key_again_replaces() {
    let world = World::new();
    let ann = world.user(1);
    let create =
        |body: &str, title: &str| ann.call(CreateDocument::new(json(body)).titled(title).keyed("the key")).unwrap();
    let first = create("1", "First");
    let second = create("2", "Second");
    assert_eq!(second, Stored { id: first.id, version: 2 });
    assert_eq!(ann.titles(), ["Second"]);
    let by_key = DocumentsByOwner { key: Some("the key".into()), ..Default::default() };
    assert_eq!(ann.call(by_key).unwrap().items[0].id, first.id);
    assert!(ann.suggest("fir").is_empty());
}

#[test]
fn a_list_is_newest_first_and_pages_reach_every_document_once() {
    let world = World::new();
    let (ann, bob) = (world.user(1), world.user(2));
    for n in 0..57 {
        ann.create(&format!("{n}"), "1");
        bob.create("bob's", "1");
    }
    let expected: Vec<String> = (0..57).rev().map(|n| n.to_string()).collect();
    assert_eq!(ann.titles(), expected);
    let page = ann.call(DocumentsByOwner { page: PageOf::first(10), ..Default::default() }).unwrap();
    assert_eq!(page.items.len(), 10);
    let bad = DocumentsByOwner { page: PageOf { limit: None, cursor: Some("x".into()) }, ..Default::default() };
    assert!(matches!(ann.call(bad), Err(Error::Failed(f)) if f.kind() == FailureKind::Invalid));
}

#[test]
fn bounds_are_checked_before_the_queue() {
    let world = World::new();
    let ann = world.user(1);
    let deep = |n: usize| json(&format!("{}{}", "[".repeat(n), "]".repeat(n)));
    let field = |message: CreateDocument| match ann.call(message) {
        Err(Error::Failed(f)) if f.kind() == FailureKind::Invalid => f.fields()[0].field.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(field(CreateDocument::new(deep(DEPTH_MAX + 1))), "body");
    assert_eq!(field(CreateDocument::new(json("1")).keyed("")), "key");
    assert_eq!(field(CreateDocument::new(json("1")).keyed("é".repeat(257))), "key");
    assert_eq!(field(CreateDocument::new(json("1")).titled("t".repeat(TITLE_BYTES_MAX + 1))), "title");
    ann.call(CreateDocument::new(deep(DEPTH_MAX)).keyed("é".repeat(256)).titled("t".repeat(TITLE_BYTES_MAX))).unwrap();
    assert_eq!(world.count("SELECT count(*) FROM documents"), 1);
}

#[test]
fn nobody_in_particular_has_no_documents() {
    let world = World::new();
    let nobody = monolite_service::Caller::anonymous(None);
    let is_unauthenticated = |kind| kind == FailureKind::Unauthenticated;
    assert!(
        matches!(world.call(&nobody, DocumentsByOwner::default()), Err(Error::Failed(f)) if is_unauthenticated(f.kind()))
    );
    assert!(
        matches!(world.call(&nobody, CreateDocument::new(json("1"))), Err(Error::Failed(f)) if is_unauthenticated(f.kind()))
    );
}

#[test]
fn hostile_text_in_every_field_is_only_text() {
    let world = World::new();
    let ann = world.user(1);
    for text in HOSTILE {
        let body = monolite_service::Json::of(text).unwrap();
        let stored = ann.call(CreateDocument::new(body.clone()).titled(*text).keyed(*text)).unwrap();
        let read = ann.read(stored.id).unwrap();
        assert_eq!((read.body, read.title.as_deref(), read.key.as_deref()), (body, Some(*text), Some(*text)));
        ann.search(text);
        ann.suggest(text);
        let by_key = DocumentsByOwner { key: Some((*text).into()), ..Default::default() };
        assert_eq!(ann.call(by_key).unwrap().items.len(), 1, "{text:?}");
    }
    assert_eq!(ann.titles().len(), HOSTILE.len());
}

#[test]
fn documents_are_there_after_a_crash() {
    let world = World::new();
    let ann = world.user(1);
    let id = ann.create("Tomato soup", r#"{"a":"basil"}"#).id;
    let (caller, folder) = (ann.caller.clone(), world.folder);
    world.host.abandon();
    drop(world.host);
    let host = world::open(folder.path(), service());
    assert_eq!(host.call_blocking(&caller, DocumentById { id }).unwrap().version, 1);
    let found = host.call_blocking(&caller, DocumentSearch { q: "basil".into(), ..Default::default() }).unwrap();
    assert_eq!(found.items.len(), 1);
}
