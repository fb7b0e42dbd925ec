//! What a cut can leave of folders and files, and what it cannot.

#![allow(clippy::unwrap_used)]

use super::*;

fn walk(ops: Vec<Op>) -> Walk {
    let mut walk = Walk::default();
    for (index, op) in ops.into_iter().enumerate() {
        walk.take(index, &op);
    }
    walk
}

fn write(file: &str) -> Op {
    Op::Write { file: file.into(), at: 0, bytes: b"bytes".as_slice().into() }
}

fn sync(path: &str) -> Op {
    Op::Sync { path: path.into(), upto: usize::MAX }
}

#[test]
fn a_file_is_there_once_it_and_the_folders_above_it_were_synced() {
    let steps = vec![
        Op::Folder("p".into()),
        sync(""),
        Op::Folder("d".into()),
        sync(""),
        Op::Create("p/1".into()),
        write("p/1"),
        sync("p/1"),
        Op::Rename { from: "p/1".into(), to: "d/x".into() },
    ];
    let mut random = Random::new(1);
    let before = walk(steps.clone()).image(Style::Bare, &mut random);
    assert!(!before.contains_key(Path::new("d/x")) && before.contains_key(Path::new("d")), "{before:?}");
    let after = walk([steps, vec![sync("d")]].concat());
    for style in STYLES {
        let image = after.image(style, &mut random);
        assert_eq!(image[Path::new("d/x")].as_deref(), Some(&b"bytes"[..]), "{style:?}");
    }
}

#[test]
fn what_was_not_synced_may_be_empty_and_what_lies_in_a_lost_folder_is_lost() {
    let mut random = Random::new(2);
    let named = walk(vec![Op::Create("x".into()), write("x"), sync("")]);
    assert_eq!(named.image(Style::Bare, &mut random)[Path::new("x")].as_deref(), Some(&b""[..]));
    let lost = walk(vec![Op::Folder("d".into()), Op::Create("d/x".into()), sync("d/x"), sync("d")]);
    assert!(lost.image(Style::Bare, &mut random).is_empty());
    assert_eq!(lost.image(Style::Whole, &mut random).len(), 2);
}

#[test]
fn a_removal_that_is_sure_is_sure_with_those_before_it_in_other_folders_too() {
    let mut random = Random::new(5);
    let made = ["9", "0"].map(|path| Op::Folder(path.into()));
    let files = ["9/base", "0/one", "9/other"].map(|path| Op::Create(path.into()));
    let removed = ["9/base", "0/one", "9/other"].map(|path| Op::Remove(path.into()));
    let steps = [&made[..], &files, &["", "9", "0"].map(sync), &removed].concat();
    assert_eq!(walk(steps.clone()).image(Style::Bare, &mut random).len(), 5);
    let bare = walk([&steps[..], &[sync("0")]].concat()).image(Style::Bare, &mut random);
    assert!(!bare.contains_key(Path::new("9/base")) && bare.contains_key(Path::new("9/other")), "{bare:?}");
}

#[test]
fn an_exchange_is_whole_or_not_at_all_and_sure_once_both_folders_were_synced() {
    let mut random = Random::new(3);
    let made = ["a", "x", "x/b"].map(|path| Op::Folder(path.into()));
    let files = ["a/of-a", "x/b/of-b"].map(|path| Op::Create(path.into()));
    let before = [&made[..], &files, &["", "a", "x", "x/b"].map(sync)].concat();
    let exchanged = [&before[..], &[Op::Exchange { a: "a".into(), b: "x/b".into() }]].concat();
    let is = |tree: &Tree, path: &str| tree.contains_key(Path::new(path));
    for synced in [vec![], vec![sync("")], vec![sync("x")]] {
        let walk = walk([&exchanged[..], &synced].concat());
        let bare = walk.image(Style::Bare, &mut random);
        assert!(is(&bare, "a/of-a") && is(&bare, "x/b/of-b") && !walk.is_durable(Path::new("a")), "{bare:?}");
        for _ in 0..20 {
            let any = walk.image(Style::Any, &mut random);
            assert!(is(&any, "a/of-a") == is(&any, "x/b/of-b") && is(&any, "a/of-b") == is(&any, "x/b/of-a"));
            assert_ne!(is(&any, "a/of-a"), is(&any, "a/of-b"));
        }
    }
    // What comes after it follows the folder.
    let after = [sync(""), sync("x"), Op::Create("a/later".into()), sync("a")];
    let walk = walk([&exchanged[..], &after].concat());
    let bare = walk.image(Style::Bare, &mut random);
    assert!(is(&bare, "a/of-b") && is(&bare, "a/later") && is(&bare, "x/b/of-a") && !walk.is_uncertain());
    assert!(walk.is_durable(Path::new("a/later")));
}

#[test]
fn what_sqlite_did_is_durable_and_what_it_found_stays_as_it_was() {
    let mut random = Random::new(4);
    let seen = |bytes: &[u8]| Op::Seen { path: "x".into(), bytes: Some(bytes.into()) };
    let of = |ops: Vec<Op>, random: &mut Random| walk(ops).image(Style::Bare, random).get(Path::new("x")).cloned();
    assert_eq!(of(vec![seen(b"new")], &mut random), Some(Some(b"new".to_vec())));
    let written = vec![Op::Create("x".into()), write("x"), sync(""), seen(b"bytes")];
    assert_eq!(of(written.clone(), &mut random), Some(Some(Vec::new())), "no sync of ours is taken for done");
    assert_eq!(of([written, vec![seen(b"others")]].concat(), &mut random), Some(Some(b"others".to_vec())));
    let gone = Op::Seen { path: "x".into(), bytes: None };
    assert_eq!(of(vec![seen(b"new"), gone], &mut random), None);
}
