//! The suite `archive`, as short as it gets: its rows, and that nothing stays behind.

#![allow(clippy::unwrap_used)] // the helpers are tests too

use serde_json::Value;
use std::process::Command;

const ROWS: [&str; 15] = [
    "durable_update_64_archived_vs_not",
    "archive_lag_64_p99",
    "durable_update_1_archived_vs_not",
    "archive_lag_1_p99",
    "ack_archived_1_folder",
    "ack_archived_64_folder",
    "writes_p99_beside_base_copy",
    "wal_max_beside_base_copy",
    "memory_max_beside_base_copy",
    "base_copy_large",
    "restore_large_vs_cp",
    "verify_large",
    "many_stores_memory_each",
    "many_stores_open_files",
    "many_stores_idle_cpu",
];

#[test]
fn each_row_is_measured_what_is_missing_is_said_and_all_files_are_removed() {
    let (data, other) = (tempfile::tempdir_in("/var/tmp").unwrap(), tempfile::tempdir().unwrap());
    let json = other.path().join("rows.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_monolite-bench"));
    command.args(["archive", "--short", "--dir"]).arg(data.path()).arg("--json").arg(&json);
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let rows: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let row = |name: &str| rows.iter().find(|row| row["name"] == name);
    for name in ROWS {
        let row = row(name).unwrap_or_else(|| panic!("no row {name}: {said}"));
        assert!(row["suite"] == "archive" && row["ours"].as_f64().unwrap() >= 0.0, "{row}");
        let compares = name.contains("_vs_") || name.contains("p99_beside");
        assert_eq!(row["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0), compares, "{row}");
    }
    for name in ["ack_archived_1_s3", "ack_archived_64_s3"] {
        match row(name) {
            Some(row) => assert!(row["ours"].as_f64().unwrap() > 0.0, "{row}"),
            None => assert!(said.contains("LEFT OUT: ack_archived_*_s3: no SeaweedFS"), "{said}"),
        }
    }
    assert!(std::fs::read_dir(data.path()).unwrap().next().is_none());
}
