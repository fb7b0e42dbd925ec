//! What the book promises, case by case: favourites, lists, images, bad input.

#![allow(clippy::unwrap_used)]

use monolite_recipes::*;
use monolite_service::{Error, FailureKind, PageOf, Refused, Uuid};
use monolite_testkit::{User, app};

fn recipe(title: &str) -> AddRecipe {
    AddRecipe { title: title.into(), servings: 4, ingredients: vec![Ingredient { name: "salt".into(), grams: 1.5 }] }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Refused {
    match outcome {
        Err(Error::Refused(refused)) => refused,
        other => panic!("not refused: {other:?}"),
    }
}

fn titles(user: &User, favourites: bool) -> Vec<String> {
    let mut of = RecipesByTitle { favourites, page: PageOf::first(2) };
    let mut titles = Vec::new();
    loop {
        let page = user.call(of.clone()).unwrap();
        titles.extend(page.items.into_iter().map(|line| line.title));
        match page.next {
            Some(next) => of.page = of.page.after(next),
            None => return titles,
        }
    }
}

#[test]
fn favourites_are_each_users_own() {
    let app = app([service()]);
    let (ann, bob) = (app.user("ann"), app.user("bob"));
    let ids: Vec<Uuid> = ["Dal", "Bread", "Apple pie", "Curry", "Éclair"].map(|t| ann.call(recipe(t)).unwrap()).into();
    assert_eq!(titles(&app.anonymous(), false), ["Apple pie", "Bread", "Curry", "Dal", "Éclair"]);
    for id in [ids[0], ids[2], ids[2], ids[3]] {
        bob.call(Favour { id, on: true }).unwrap();
    }
    assert_eq!(titles(&bob, true), ["Apple pie", "Curry", "Dal"]);
    bob.call(Favour { id: ids[3], on: false }).unwrap();
    assert_eq!(titles(&bob, true), ["Apple pie", "Dal"]);
    assert!(titles(&ann, true).is_empty());
    assert_eq!(refused(bob.call(Favour { id: Uuid::nil(), on: true })), Refused::not_found("recipe"));
}

#[test]
fn two_users_may_use_the_same_title() {
    let app = app([service()]);
    app.user("ann").call(recipe("Bread")).unwrap();
    app.user("bob").call(recipe("Bread")).unwrap();
    assert_eq!(refused(app.user("bob").call(recipe("Bread"))), Refused::conflict("title_taken"));
}

#[test]
fn an_image_is_put_by_the_owner_and_seen_by_all() {
    let app = app([service()]);
    let (ann, bob) = (app.user("ann"), app.user("bob"));
    let id = ann.call(recipe("Bread")).unwrap();
    let png = [&b"\x89PNG\r\n\x1a\n"[..], &vec![7; 200_000]].concat();
    assert_eq!(refused(app.anonymous().call(ImageOf { id })), Refused::not_found("image"));
    assert_eq!(refused(bob.upload(PutImage { id }, png.clone())), Refused::not_found("recipe"));
    assert!(matches!(refused(ann.upload(PutImage { id }, &b"<svg onload=alert(1)>"[..])), Refused::Invalid { .. }));
    ann.upload(PutImage { id }, &b"\xff\xd8\xff small"[..]).unwrap();
    ann.upload(PutImage { id }, png.clone()).unwrap();
    let image = app.anonymous().call(ImageOf { id }).unwrap();
    assert_eq!((image.content_type.as_str(), &image.bytes[..]), ("image/png", &png[..]));
}

#[test]
fn bad_input_changes_nothing() {
    let app = app([service()]);
    let ann = app.user("ann");
    let salt = || Ingredient { name: "salt".into(), grams: 1.0 };
    for bad in [
        AddRecipe { title: "".into(), ..recipe("") },
        AddRecipe { title: "t".repeat(201), ..recipe("") },
        AddRecipe { servings: 0, ..recipe("Bread") },
        AddRecipe { ingredients: (0..101).map(|_| salt()).collect(), ..recipe("Bread") },
    ] {
        assert!(matches!(ann.call(bad), Err(Error::Failed(f)) if f.kind() == FailureKind::Invalid));
    }
    let hostile = "'); DROP TABLE recipes; --";
    let id = ann.call(recipe(hostile)).unwrap();
    assert_eq!(titles(&ann, false), [hostile]);
    assert!(matches!(ann.call(ScaledRecipe { id, guests: Some(0) }), Err(Error::Failed(_))));
    assert_eq!(refused(ann.call(ScaledRecipe { id: Uuid::nil(), guests: None })), Refused::not_found("recipe"));
    assert!(
        matches!(app.anonymous().call(recipe("Bread")), Err(Error::Failed(f)) if f.kind() == FailureKind::Unauthenticated)
    );
}
