//! Pages against a model: whatever the rows, the keys' directions and the size of a page, the pages in a row are the sorted list.
#![allow(missing_docs)]

use monolite_service::*;
use monolite_store::Migration;
use monolite_testkit::{App, app};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
struct Item {
    name: String,
    weight: i64,
    id: i64,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Fill {
    items: Vec<Item>,
}
message!(Fill => ());

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Remove {
    id: i64,
}
message!(Remove => ());

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Items {
    order: usize,
    lighter_than: Option<i64>,
    page: PageOf,
}
message!(Items => Page<Item>);

const ORDERS: [&[&str]; 4] =
    [&["name", "weight", "id"], &["weight desc", "id desc"], &["name desc", "i.weight", "id desc"], &["id"]];

fn sorted(mut items: Vec<Item>, order: usize) -> Vec<Item> {
    match order {
        0 => items.sort(),
        1 => items.sort_by_key(|i| Reverse((i.weight, i.id))),
        2 => items.sort_by_key(|i| (Reverse(i.name.clone()), i.weight, Reverse(i.id))),
        _ => items.sort_by_key(|i| i.id),
    }
    items
}

fn service() -> Service {
    let schema = "CREATE TABLE items(name TEXT NOT NULL, weight INTEGER NOT NULL, id INTEGER PRIMARY KEY) STRICT";
    Service::new("Items", Migrations::new([Migration::Quick { name: "1", sql: schema }]))
        .write(|tx: &Tx, m: Fill| {
            tx.run("DELETE FROM items", [])?;
            for item in m.items {
                tx.run("INSERT INTO items VALUES (?, ?, ?)", params![item.name, item.weight, item.id])?;
            }
            Ok(())
        })
        .write(|tx: &Tx, m: Remove| {
            tx.run("DELETE FROM items WHERE id = ?", [m.id])?;
            Ok(())
        })
        .read(|s: &Snapshot, m: &Items| {
            let query = sql("SELECT i.name, i.weight, i.id FROM items i WHERE 1").and("weight < ?", m.lighter_than);
            Ok(s.page(query, ORDERS[m.order], &m.page)?)
        })
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let item = ("[ab\u{e9}]{0,2}", -2i64..3).prop_map(|(name, weight)| Item { name, weight, id: 0 });
    prop::collection::vec(item, 0..30).prop_map(|mut items| {
        for (id, item) in (1..).zip(&mut items) {
            item.id = id;
        }
        items
    })
}

/// All pages, one after another; what is on a page is removed before the next is asked for, if wanted.
fn walk(app: &App, order: usize, lighter_than: Option<i64>, size: u32, remove: bool) -> Vec<Item> {
    let system = app.system();
    let (mut all, mut page) = (Vec::new(), PageOf::first(size));
    loop {
        let got = system.call(Items { order, lighter_than, page: page.clone() }).expect("a page");
        assert!(got.items.len() <= size as usize);
        if remove {
            got.items.iter().for_each(|item| system.call(Remove { id: item.id }).expect("removed"));
        }
        all.extend(got.items);
        let Some(next) = got.next else { return all };
        assert_eq!(all.len() % size as usize, 0, "only the last page is short");
        page = page.after(next);
    }
}

#[test]
fn pages_in_a_row_are_the_sorted_list() {
    let app = app([service()]);
    let cases = (items(), 0..ORDERS.len(), prop::option::of(-2i64..3), 1u32..8, any::<bool>());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(60));
    let result = runner.run(&cases, |(items, order, lighter_than, size, remove)| {
        app.system().call(Fill { items: items.clone() }).unwrap();
        let wanted = items.into_iter().filter(|i| lighter_than.is_none_or(|w| i.weight < w)).collect();
        prop_assert_eq!(walk(&app, order, lighter_than, size, remove), sorted(wanted, order));
        Ok(())
    });
    result.unwrap();
}
