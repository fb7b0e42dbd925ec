//! The book at work: real files, users by name, a server that crashes.

use monolite_recipes::*;
use monolite_service::{Error, Refused};
use monolite_testkit::app;

#[test]
fn a_recipe_scales_to_its_guests_and_survives_a_crash() {
    let app = app([service()]);
    let ann = app.user("ann");
    let flour = Ingredient { name: "flour".into(), grams: 400.0 };
    let bread = AddRecipe { title: "Bread".into(), servings: 4, ingredients: vec![flour] };
    let id = ann.call(bread.clone()).unwrap();

    app.kill_and_restart();

    let for_six = app.anonymous().call(ScaledRecipe { id, guests: Some(6) }).unwrap();
    assert_eq!((for_six.servings, for_six.ingredients[0].grams), (6, 600.0));
    let again = ann.call(bread);
    assert!(matches!(again, Err(Error::Refused(no)) if no == Refused::conflict("title_taken")));
}
