//! What can be asked of Recipes, and what it answers. No SQL and no HTTP here.

use monolite_service::{Blob, Page, PageOf, Uuid, message};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adds a recipe to the caller's book.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct AddRecipe {
    pub title: String,
    pub servings: u32,
    pub ingredients: Vec<Ingredient>,
}
message!(AddRecipe => Uuid, check |m, c| _ = c.length("title", &m.title, 1..=200)
    .range("servings", m.servings, 1..=1000).field("ingredients", m.ingredients.len() <= 100, "are more than 100")
    .field("ingredients", m.ingredients.iter().all(|i| i.name.len() <= 200 && (0.0..=1e6).contains(&i.grams)), "are odd"));

/// A recipe, for as many guests as will come.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct ScaledRecipe {
    pub id: Uuid,
    pub guests: Option<u32>,
}
message!(ScaledRecipe => Recipe, check |m, c| _ = c.range("guests", m.guests.unwrap_or(1), 1..=1000));

/// Everybody's recipes by title, or only the caller's favourites.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RecipesByTitle {
    pub favourites: bool,
    pub page: PageOf,
}
message!(RecipesByTitle => Page<Line>);

/// Makes a recipe a favourite of the caller, or no longer one.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Favour {
    pub id: Uuid,
    pub on: bool,
}
message!(Favour => ());

/// Puts an image to a recipe of the caller: PNG or JPEG.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct PutImage {
    pub id: Uuid,
}
message!(PutImage => ());

/// The image of a recipe.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct ImageOf {
    pub id: Uuid,
}
message!(ImageOf => Blob);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ingredient {
    pub name: String,
    pub grams: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recipe {
    pub id: Uuid,
    pub title: String,
    pub servings: u32,
    pub ingredients: Vec<Ingredient>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    pub id: Uuid,
    pub title: String,
}
