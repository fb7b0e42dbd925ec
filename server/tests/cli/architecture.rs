//! The edges between our crates are those that ARCHITECTURE.md allows.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

#[test]
fn the_edges_between_crates_are_those_of_the_map() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let listed = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let block = listed.split("```edges\n").nth(1).expect("the map has a block of edges").split("```").next().unwrap();
    let allowed: BTreeSet<String> = block.lines().map(|line| line.trim().to_owned()).collect();
    assert_eq!(edges(root), allowed, "left: as it is; right: as ARCHITECTURE.md says");
}

/// Every dependency of one of our crates on another, but for tests.
fn edges(root: &Path) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    let mut edges = BTreeSet::new();
    for package in packages {
        for dependency in package["dependencies"].as_array().unwrap() {
            let (from, to) = (package["name"].as_str().unwrap(), dependency["name"].as_str().unwrap());
            if ours.contains(to) && dependency["kind"] != "dev" {
                edges.insert(format!("{from} -> {to}"));
            }
        }
    }
    edges
}
