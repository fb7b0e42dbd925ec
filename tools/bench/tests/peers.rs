//! The suite `peers`, as short as it gets: its report, and what it says of a peer that is not here.

#![allow(clippy::unwrap_used)] // the helpers are tests too

use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn peers(folder: &Path, more: &[&str]) -> Vec<Value> {
    let json = folder.join("rows.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_monolite-bench"));
    command
        .args(["peers", "--short", "--no-install", "--only", "http_mixed_1_vs", "--report"])
        .arg(folder.join("bench"));
    let done = command.arg("--json").arg(&json).args(more).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap()
}

#[test]
fn the_report_has_rows_tables_and_plots_and_says_which_peer_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.md");
    std::fs::write(&page, "# Page\n<!-- measured: peers -->\nold\n<!-- end of peers -->\nkept\n").unwrap();
    let rows = peers(folder.path(), &["--docs", page.to_str().unwrap()]);
    assert_eq!(rows[0]["name"], "http_mixed_1_vs_pocketbase");
    assert!(rows[0]["ours"].as_f64().unwrap() > 0.0);
    match rows[0]["ratio"].as_f64() {
        Some(ratio) => {
            assert!(ratio > 0.0 && rows[0]["against"].as_str().unwrap().starts_with("PocketBase"));
            assert_eq!(rows[1]["name"], "http_mixed_1_vs_pocketbase_p99");
        }
        None => {
            eprintln!("SKIPPED: the comparison itself, PocketBase is not here");
            assert!(rows[0]["note"].as_str().unwrap().contains("PEER MISSING"), "{}", rows[0]);
            assert_eq!(rows[0]["peer"], Value::Null);
        }
    }
    let (told, page) = (folder.path().join("bench/peers.md"), std::fs::read_to_string(page).unwrap());
    for text in [std::fs::read_to_string(told).unwrap().as_str(), page.as_str()] {
        assert!(text.contains("| `http_mixed_1_vs_pocketbase` |") && text.contains("Machine: "), "{text}");
    }
    assert!(page.starts_with("# Page") && page.ends_with("kept\n") && !page.contains("old\n"), "{page}");
    assert!(folder.path().join("bench/throughput.svg").exists() && folder.path().join("page/throughput.svg").exists());
}

#[test]
fn a_peer_that_is_named_and_not_there_is_missing_and_never_a_ratio() {
    let folder = tempfile::tempdir().unwrap();
    let rows = peers(folder.path(), &["--pocketbase", "/no/such/program"]);
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["peer"], &rows[0]["ratio"]), (&Value::Null, &Value::Null));
    assert!(rows[0]["note"].as_str().unwrap().contains("PEER MISSING: PocketBase is not at /no/such/program"));
}
