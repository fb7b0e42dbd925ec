//! `new`: a project that builds.

use crate::world::{Ran, World};
use std::process::Command;

#[test]
fn a_new_project_has_a_service_its_sql_and_a_test() {
    let world = World::new();
    assert_eq!(world.run(&["new", "shop"]).good(), "shop\n");
    let shop = world.folder.path().join("shop");
    for file in
        ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "src/main.rs", "src/notes.rs", "migrations/0001_notes.sql"]
    {
        let text = std::fs::read_to_string(shop.join(file)).unwrap();
        assert!(!text.is_empty() && !text.contains("{{"), "{file}");
    }
    world.run(&["new", "shop"]).bad(2, &["shop is there already"]);
    world.run(&["new", "../shop"]).bad(2, &["no name for a project"]);
    world.run(&["new", "other", "--checkout", "/tmp"]).bad(1, &["--checkout"]);
    assert!(!world.folder.path().join("other").exists());
}

/// Minutes, from cold: run by `.ci/run`.
#[test]
#[ignore = "builds a whole project"]
fn a_new_project_passes_its_own_test() {
    let world = World::new();
    world.run(&["new", "shop"]).good();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "--offline"]).current_dir(world.folder.path().join("shop"));
    command.env("CARGO_TARGET_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/new-project"));
    let mut ran = Ran::of(command.output().unwrap());
    ran.said =
        ran.said.lines().filter(|line| !line.trim_start().starts_with("Compiling")).collect::<Vec<_>>().join("\n");
    assert!(!ran.said.contains("warning"), "{ran:?}");
    assert!(ran.good().contains("1 passed"));
}
