//! `Items.db`, and the functions that answer.

use super::contract::{AddItem, ChangeItem, Item, ItemById, ListItems};
use monolite_service::{GET, Migrations, Outcome, PATCH, POST, Refused, Service, SignedIn, Snapshot, Tx, params, sql};
use monolite_store::Migration;

const TABLE: &str = "CREATE TABLE items(
    id BLOB PRIMARY KEY, title TEXT NOT NULL, amount INTEGER NOT NULL, content TEXT NOT NULL) STRICT, WITHOUT ROWID;";
const ADD: &str = "INSERT INTO items VALUES (?1, ?2, ?3, ?4)";
const BY_ID: &str = "SELECT id, title, amount, content FROM items WHERE id = ?1";
const CHANGE: &str = "UPDATE items SET amount = ?2 WHERE id = ?1 RETURNING id, title, amount, content";

/// The service.
pub(super) fn service() -> Service {
    Service::new("Items", Migrations::new(vec![Migration::Quick { name: "items", sql: TABLE }]))
        .write(add)
        .at(POST, "/items", SignedIn)
        .creates("/items/{id}")
        .read(by_id)
        .at(GET, "/items/{id}", SignedIn)
        .read(list)
        .at(GET, "/items", SignedIn)
        .write(change)
        .at(PATCH, "/items/{id}", SignedIn)
        .statements(&[ADD, BY_ID, CHANGE])
}

fn add(tx: &Tx<'_>, m: AddItem) -> Outcome<AddItem> {
    let id = tx.id();
    tx.run(ADD, params![id, m.title, m.amount, m.content])?;
    Ok(Item { id, title: m.title, amount: m.amount, content: m.content })
}

fn by_id(s: &Snapshot<'_>, m: &ItemById) -> Outcome<ItemById> {
    Ok(s.one(BY_ID, params![m.id])?.ok_or(Refused::not_found("item"))?)
}

fn list(s: &Snapshot<'_>, m: &ListItems) -> Outcome<ListItems> {
    Ok(s.page(sql("SELECT id, title, amount, content FROM items WHERE 1"), &["id"], &m.page)?)
}

fn change(tx: &Tx<'_>, m: ChangeItem) -> Outcome<ChangeItem> {
    Ok(tx.one(CHANGE, params![m.id, m.amount])?.ok_or(Refused::not_found("item"))?)
}
