//! Background work of a host that was opened without begins when it is told to, once.
#![allow(clippy::unwrap_used)]

use monolite_runtime::{Assembly, BackgroundMode, block_on};
use monolite_service::*;
use monolite_store::Migration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Tick {}
message!(Tick => i64);

#[test]
fn background_work_begins_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let schema = [Migration::Quick { name: "1", sql: "CREATE TABLE ticks(id INTEGER PRIMARY KEY) STRICT" }];
    let ticks = Service::new("Ticks", Migrations::new(schema))
        .write(|tx: &Tx, _: Tick| tx.insert("INSERT INTO ticks DEFAULT VALUES RETURNING id", []).map_err(Error::from))
        .every(Duration::from_millis(1), Tick {});
    let host = Assembly::new(folder.path()).service(ticks).background(BackgroundMode::Off).open().unwrap();
    let store = host.store("Ticks").unwrap();
    let before = store.sequence();
    host.call_blocking(&host.system(), Tick {}).unwrap();
    assert_eq!(store.sequence(), before + 1, "nobody else writes");
    host.begin_background().unwrap();
    host.begin_background().unwrap();
    block_on(store.reaches(before + 5));
    host.shutdown().unwrap();
}
