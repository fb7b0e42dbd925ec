//! Recipes.db, and the functions that answer the contract.

use crate::contract::*;
use monolite_service::*;

/// The service: which function answers which message, and where it is served.
#[rustfmt::skip]
pub fn service() -> Service {
    Service::new("Recipes", migrations![quick "../migrations/0001_recipes.sql"])
        .write(add).at(POST, "/recipes", SignedIn).creates("/recipes/{id}")
        .read(scaled).at(GET, "/recipes/{id}", Anyone)
        .read(by_title).at(GET, "/recipes", Anyone)
        .write(favour).at(PUT, "/recipes/{id}/favourite", SignedIn)
        .write(put_image).at(PUT, "/recipes/{id}/image", SignedIn).upload(mib(8))
        .read(image).at(GET, "/recipes/{id}/image", Anyone).streams().slow()
}

fn add(tx: &Tx, m: AddRecipe) -> Outcome<AddRecipe> {
    let id = tx.id();
    tx.run("INSERT INTO recipes VALUES (?, ?, ?, ?)", (id, tx.user()?, &m.title, m.servings))
        .unique(Refused::conflict("title_taken"))?;
    for (position, i) in m.ingredients.iter().enumerate() {
        tx.run("INSERT INTO ingredients VALUES (?, ?, ?, ?)", (id, position, &i.name, i.grams))?;
    }
    Ok(id)
}

fn scaled(s: &Snapshot, m: &ScaledRecipe) -> Outcome<ScaledRecipe> {
    let head = s.one("SELECT title, servings FROM recipes WHERE id = ?", [m.id])?;
    let (title, servings): (String, u32) = head.ok_or(Refused::not_found("recipe"))?;
    let guests = m.guests.unwrap_or(servings);
    let scaled = "SELECT name, grams * ?2 / ?3 AS grams FROM ingredients WHERE recipe_id = ?1 ORDER BY position";
    let ingredients = s.all(scaled, (m.id, guests, servings))?;
    Ok(Recipe { id: m.id, title, servings: guests, ingredients })
}

fn by_title(s: &Snapshot, m: &RecipesByTitle) -> Outcome<RecipesByTitle> {
    let favourites_of = if m.favourites { Some(s.user()?) } else { None };
    let recipes = sql("SELECT id, title FROM recipes WHERE 1")
        .and("id IN (SELECT recipe_id FROM favourites WHERE user_id = ?)", favourites_of);
    Ok(s.page(recipes, &["title", "id"], &m.page)?)
}

fn favour(tx: &Tx, m: Favour) -> Outcome<Favour> {
    let change = match m.on {
        true => "INSERT OR IGNORE INTO favourites VALUES (?, ?)",
        false => "DELETE FROM favourites WHERE user_id = ? AND recipe_id = ?",
    };
    tx.run(change, (tx.user()?, m.id)).foreign(Refused::not_found("recipe"))?;
    Ok(())
}

fn put_image(tx: &Tx, m: PutImage, bytes: Bytes) -> Outcome<PutImage> {
    let content_type = match &bytes[..] {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        _ => return Err(Refused::invalid("image", "is neither PNG nor JPEG").into()),
    };
    let put = "REPLACE INTO images SELECT r.id, ?3, ?4, ifnull(version, 0) + 1 FROM recipes r LEFT JOIN images i ON i.id = r.id WHERE r.id = ?1 AND owner_id = ?2";
    let changed = tx.run(put, (m.id, tx.user()?, content_type, &bytes[..]))?;
    if changed == 0 { Err(Refused::not_found("recipe").into()) } else { Ok(()) }
}

fn image(s: &Snapshot, m: &ImageOf) -> Outcome<ImageOf> {
    let image = s.one("SELECT content_type, bytes, version FROM images WHERE id = ?", [m.id])?;
    Ok(image.ok_or(Refused::not_found("image"))?)
}
