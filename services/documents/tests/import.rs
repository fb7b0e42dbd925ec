//! Imports: batches, each document with its own result; keys stay unique whatever is done.

mod world;

use monolite_documents::*;
use monolite_service::{Caller, Error, FailureKind, Refused};
use proptest::prelude::*;
use std::collections::HashMap;
use world::{World, json, refused};

fn new(key: &str, title: &str, body: &str) -> NewDocument {
    NewDocument::new(Some(key.into()), Some(title.into()), json(body))
}

#[test]
fn each_document_of_a_batch_has_its_own_result() {
    let world = World::new();
    let ann = world.user(1);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let documents = vec![
        new("a", "Apple", r#""one""#),
        new("", "No key", "1"),
        new("d", "Deep", &deep),
        new("a", "Apricot", r#""two""#),
        NewDocument::new(None, None, json("[]")),
    ];
    let report = ann.call(ImportDocuments { owner: None, documents }).unwrap();
    let [
        Imported::Created(a),
        Imported::Refused(key),
        Imported::Refused(body),
        Imported::Replaced(again),
        Imported::Created(_),
    ] = &report.results[..]
    else {
        panic!("{report:?}");
    };
    assert_eq!((a, key[0].field.as_str(), body[0].field.as_str()), (again, "key", "body"));
    assert_eq!(ann.search("two"), ["Apricot"]);
    assert!(ann.search("one").is_empty());
    assert_eq!(ann.titles().len(), 2);
}

#[test]
fn the_system_and_admins_import_for_others_and_members_do_not() {
    let world = World::new();
    let (ann, bob, admin) = (world.user(1), world.user(2), world.admin());
    let import = |caller: &Caller| {
        world.call(caller, ImportDocuments { owner: Some(ann.id), documents: vec![new("k", "Title", "1")] })
    };
    assert!(matches!(import(&Caller::system()).unwrap().results[0], Imported::Created(_)));
    assert!(matches!(import(&admin.caller).unwrap().results[0], Imported::Replaced(_)));
    assert!(matches!(import(&ann.caller).unwrap().results[0], Imported::Replaced(_)));
    assert!(matches!(refused(import(&bob.caller)), Refused::Forbidden { .. }));
    let ownerless =
        world.call(&Caller::system(), ImportDocuments { owner: None, documents: vec![new("k", "Title", "1")] });
    assert!(matches!(ownerless, Err(Error::Failed(_))));
    assert_eq!(ann.titles(), ["Title"]);
}

#[test]
fn a_batch_is_bounded_in_count_and_bytes() {
    let world = World::new();
    let ann = world.user(1);
    let import = |documents: Vec<NewDocument>| ann.call(ImportDocuments { owner: None, documents });
    let is_invalid = |outcome| matches!(outcome, Err(Error::Failed(f)) if FailureKind::Invalid == f.kind());
    let small = |n| (0..n).map(|n| new(&n.to_string(), "t", "1")).collect::<Vec<_>>();
    assert_eq!(import(small(IMPORT_DOCUMENTS_MAX)).unwrap().results.len(), IMPORT_DOCUMENTS_MAX);
    assert!(is_invalid(import(small(IMPORT_DOCUMENTS_MAX + 1))));
    let big = || NewDocument::new(None, None, json(&format!("\"{}\"", "x ".repeat(400_000))));
    assert_eq!(import(vec![big(), big()]).unwrap().results.len(), 2);
    assert!(is_invalid(import(vec![big(), big(), big()])));
}

#[derive(Clone, Debug)]
enum Step {
    Create { user: u128, key: Option<usize>, title: usize },
    Import { user: u128, keys: Vec<usize> },
    Replace { which: prop::sample::Index, title: usize },
    Delete { which: prop::sample::Index },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_u128..3, prop::option::of(0_usize..6), 0_usize..5).prop_map(|(user, key, title)| Step::Create { user, key, title }),
        2 => (1_u128..3, prop::collection::vec(0_usize..6, 1..6)).prop_map(|(user, keys)| Step::Import { user, keys }),
        2 => (any::<prop::sample::Index>(), 0_usize..5).prop_map(|(which, title)| Step::Replace { which, title }),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Delete { which }),
    ]
}

/// What a model knows of a document.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    user: u128,
    key: Option<String>,
    title: String,
    version: u64,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Whatever is created, imported, replaced and deleted: a key is one document's of its owner, and lists and search agree.
    #[test]
    fn a_key_is_one_documents(steps in prop::collection::vec(step(), 1..60)) {
        let world = World::new();
        let mut model: HashMap<DocumentId, Known> = HashMap::new();
        let put = |model: &mut HashMap<DocumentId, Known>, id: DocumentId, user, key: Option<String>, title: String| {
            let present = model.iter().find(|(_, k)| k.user == user && key.is_some() && k.key == key).map(|(id, k)| (*id, k.version));
            if let Some((at, _)) = present {
                assert_eq!(at, id, "the key's document was replaced");
            }
            model.insert(id, Known { user, key, title, version: present.map_or(1, |(_, version)| version + 1) });
        };
        for step in steps {
            match step {
                Step::Create { user, key, title } => {
                    let (key, title) = (key.map(|k| format!("key {k}")), format!("title{title}"));
                    let message = CreateDocument { key: key.clone(), ..CreateDocument::new(json("1")).titled(&title) };
                    let stored = world.user(user).call(message).unwrap();
                    put(&mut model, stored.id, user, key, title);
                    prop_assert_eq!(stored.version, model[&stored.id].version);
                }
                Step::Import { user, keys } => {
                    let documents = keys.iter().map(|k| new(&format!("key {k}"), &format!("title{k}"), "2")).collect();
                    let report = world.user(user).call(ImportDocuments { owner: None, documents }).unwrap();
                    for (result, k) in report.results.iter().zip(keys) {
                        let (Imported::Created(id) | Imported::Replaced(id)) = result else { panic!("{result:?}") };
                        prop_assert_eq!(matches!(result, Imported::Created(_)), !model.contains_key(id));
                        put(&mut model, *id, user, Some(format!("key {k}")), format!("title{k}"));
                    }
                }
                Step::Replace { which, title } if !model.is_empty() => {
                    let id = *which.get(&model.keys().copied().collect::<Vec<_>>());
                    let known = model.get_mut(&id).unwrap();
                    known.title = format!("title{title}");
                    known.version += 1;
                    let message = ReplaceDocument { title: Some(known.title.clone()), ..ReplaceDocument::new(id, json("3")) };
                    prop_assert_eq!(world.user(known.user).call(message).unwrap().version, known.version);
                }
                Step::Delete { which } if !model.is_empty() => {
                    let id = *which.get(&model.keys().copied().collect::<Vec<_>>());
                    let known = model.remove(&id).unwrap();
                    world.user(known.user).call(DeleteDocument { id, if_match: None }).unwrap();
                }
                _ => {}
            }
        }
        for (id, known) in &model {
            let read = world.user(known.user).read(*id).unwrap();
            prop_assert_eq!((&read.key, read.title.as_ref(), read.version), (&known.key, Some(&known.title), known.version));
        }
        for user in 1..3 {
            for title in 0..6 {
                let title = format!("title{title}");
                let expected = model.values().filter(|k| k.user == user && k.title == title).count();
                prop_assert_eq!(world.user(user).search(&format!("{title} ")).len(), expected, "search and model agree on {}", title);
            }
            prop_assert_eq!(world.user(user).titles().len(), model.values().filter(|k| k.user == user).count());
        }
    }
}
