//! The programs of `docs/guide/service.md`, `testing.md` and `cuts.md`, run.
//!
//! **Invariants**
//! - Each block of Rust on those pages is in this file, line by line but for the indentation.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub)] // the programs are tests

/// What a program's author sees: the facade re-exports the service's words and this kit.
mod monolite {
    pub use monolite_service::*;
    pub use monolite_testkit as testing;
}

mod stock {
    use crate::monolite;

    use monolite::*;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    /// Puts a new item on the shelf.
    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    pub struct AddItem {
        pub name: String,
        pub stock: u32,
    }
    message!(AddItem => Uuid, check |m, c| c.length("name", &m.name, 1..=100));

    /// Takes some of an item off the shelf.
    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    pub struct Reserve {
        pub item: Uuid,
        pub count: u32,
    }
    message!(Reserve => (), refuses NoStock);

    /// One item.
    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    pub struct ItemById {
        pub id: Uuid,
    }
    message!(ItemById => Item, version |item| item.version);

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct Item {
        pub id: Uuid,
        pub name: String,
        pub stock: u32,
        pub version: u64,
    }

    /// Why a reservation is refused.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub enum NoStock {
        UnknownItem,
        SoldOut { left: u32 },
    }
    refusal!(NoStock, |r| match r {
        NoStock::UnknownItem => RefusalKind::NotFound,
        NoStock::SoldOut { .. } => RefusalKind::Conflict,
    });

    #[rustfmt::skip]
    pub fn service() -> Service {
        Service::new("Stock", migrations![quick "guide/0001_items.sql"])
            .write(add).at(POST, "/items", Role("admin")).creates("/items/{id}")
            .write(reserve)
            .read(by_id).at(GET, "/items/{id}", Anyone)
            .read(items).at(GET, "/items", Anyone)
    }

    fn add(tx: &Tx, m: AddItem) -> Outcome<AddItem> {
        let id = tx.id();
        tx.run("INSERT INTO items (id, name, stock) VALUES (?, ?, ?)", params![id, m.name, m.stock])
            .unique(Refused::conflict("name_taken"))?;
        Ok(id)
    }

    fn reserve(tx: &Tx, m: Reserve) -> Outcome<Reserve> {
        let left: u32 = tx.one("SELECT stock FROM items WHERE id = ?", [m.item])?.ok_or(NoStock::UnknownItem)?;
        if left < m.count {
            return Err(NoStock::SoldOut { left }.into());
        }
        let take = "UPDATE items SET stock = stock - ?, version = version + 1 WHERE id = ?";
        tx.run(take, params![m.count, m.item])?;
        Ok(())
    }

    fn by_id(s: &Snapshot, m: &ItemById) -> Outcome<ItemById> {
        let item = s.one("SELECT id, name, stock, version FROM items WHERE id = ?", [m.id])?;
        item.ok_or(Refused::not_found("item").into())
    }

    /// Items by name.
    #[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
    #[serde(default)]
    pub struct Items {
        pub at_least: Option<u32>,
        pub page: PageOf,
    }
    message!(Items => Page<Item>);

    fn items(s: &Snapshot, m: &Items) -> Outcome<Items> {
        let items = sql("SELECT id, name, stock, version FROM items WHERE 1").and("stock >= ?", m.at_least);
        Ok(s.page(items, &["name", "id"], &m.page)?)
    }
}

mod orders {
    use crate::monolite::*;
    use crate::stock::{NoStock, Reserve};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    pub struct AddOrder {
        pub item: Uuid,
        pub count: u32,
    }
    message!(AddOrder => Uuid);

    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    pub struct PlaceOrder {
        pub item: Uuid,
        pub count: u32,
    }
    message!(PlaceOrder => Uuid);

    pub fn service() -> Service {
        Service::new("Orders", Migrations::default()).write(|tx: &Tx, _: AddOrder| Ok(tx.id())).flow(place)
    }

    async fn place(f: Flow, m: PlaceOrder) -> Outcome<PlaceOrder> {
        let reserved = f.call(Reserve { item: m.item, count: m.count }).await;
        reserved.refused(|_: NoStock| Refused::conflict("sold_out"))?;
        f.call(AddOrder { item: m.item, count: m.count }).await
    }
}

mod tests {
    use crate::monolite;
    use crate::orders::{self, PlaceOrder};
    use crate::stock::{AddItem, Item, ItemById, NoStock, Reserve, service};

    use monolite::{Uuid, hours};
    use serde_json::{Value, json};

    #[test]
    fn stock_outlives_a_crash_and_does_not_go_below_nothing() {
        let app = monolite::testing::app([service()]);
        let (ann, boss) = (app.user("ann"), app.user("boss").with_roles(["admin"]));
        let item = boss.call(AddItem { name: "flour".into(), stock: 3 }).unwrap();
        ann.call(Reserve { item, count: 2 }).unwrap();

        app.advance(hours(1)); // the clock stands still but for this
        app.kill_and_restart(); // queues dropped, nothing more written, files opened again
        assert_eq!(ann.call(ItemById { id: item }).unwrap().stock, 1);

        let no = ann.call(Reserve { item, count: 2 }).unwrap_err();
        assert_eq!(no.refusal(), Some(&NoStock::SoldOut { left: 1 }));
    }

    #[test]
    fn over_http_only_admins_add_items() {
        let app = monolite::testing::app([service()]);
        let (ann, boss) = (app.user("ann"), app.user("boss").with_roles(["admin"]));
        let flour = json!({ "name": "flour", "stock": 3 });
        assert_eq!(app.http().post("/items", &flour).status, 401);
        assert_eq!(ann.http().post("/items", &flour).status, 403);
        assert_eq!(boss.http().post("/items", &flour).status, 201);

        let again = boss.http().post("/items", &flour);
        assert_eq!((again.status, &again.json::<Value>()["code"]), (409, &json!("name_taken")));
    }

    #[test]
    fn a_report_is_of_one_moment() -> Result<(), Box<dyn std::error::Error>> {
        let app = monolite::testing::app([service(), orders::service()]);
        let boss = app.user("boss").with_roles(["admin"]);
        let item = boss.call(AddItem { name: "flour".into(), stock: 3 }).unwrap();
        let host = app.host();
        let cut = host.cut(&["Stock", "Orders"])?; // of all services: &[]
        let item = cut.call(&host.system(), &ItemById { id: item })?; // a message that reads, as of that moment
        let names: Vec<String> = cut.read("Stock", |s| s.all("SELECT name FROM items ORDER BY name", []))?;
        let stands: Vec<String> = cut.sequences().map(|(service, last)| format!("{service}={last}")).collect();
        assert_eq!((item.stock, names.as_slice(), stands.len()), (3, ["flour".to_owned()].as_slice(), 2));
        Ok(())
    }

    #[test]
    fn an_order_asks_the_stock() {
        let app = monolite::testing::app([orders::service()]);
        app.answer_for(|_, m: Reserve| if m.count > 3 { Err(NoStock::SoldOut { left: 3 }.into()) } else { Ok(()) });
        let ann = app.user("ann");
        ann.call(PlaceOrder { item: Uuid::nil(), count: 3 }).unwrap();
        ann.call(PlaceOrder { item: Uuid::nil(), count: 4 }).unwrap_err();
    }

    #[test]
    fn a_page_goes_on_behind_the_page_before() {
        let app = monolite::testing::app([service()]);
        let boss = app.user("boss").with_roles(["admin"]);
        for (name, stock) in [("flour", 3), ("salt", 0), ("sugar", 5)] {
            boss.call(AddItem { name: name.into(), stock }).unwrap();
        }
        let mut path = "/items?at_least=1&limit=1".to_owned();
        let mut names = Vec::new();
        loop {
            let page: monolite::Page<Item> = app.http().get(&path).json();
            names.extend(page.items.into_iter().map(|item| item.name));
            match page.next {
                Some(next) => path = format!("/items?at_least=1&limit=1&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(names, ["flour", "sugar"]);
    }

    #[test]
    fn a_version_is_the_etag() {
        let app = monolite::testing::app([service()]);
        let boss = app.user("boss").with_roles(["admin"]);
        let item = boss.call(AddItem { name: "flour".into(), stock: 3 }).unwrap();
        boss.call(Reserve { item, count: 1 }).unwrap();
        assert_eq!(app.http().get(&format!("/items/{item}")).header("etag"), Some("\"2\""));
    }
}

/// Lines with text, without their indentation.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn each_block_of_the_guide_is_in_this_file() {
    let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide");
    let run = lines(include_str!("guide.rs"));
    let mut blocks = 0;
    for page in ["service.md", "testing.md", "cuts.md"] {
        let text = std::fs::read_to_string(guide.join(page)).unwrap();
        for block in text.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let block = lines(block);
            let found = run.windows(block.len()).any(|window| window == block);
            assert!(found, "{page}: this block is not what runs here:\n{}", block.join("\n"));
            blocks += 1;
        }
    }
    assert!(blocks >= 5, "only {blocks} blocks were found");
}
