//! The suite `grow`, small: its rows, the sizes it leaves out, and that nothing stays behind.

#![allow(clippy::unwrap_used)] // the helpers are tests too

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

fn grow(folder: &Path, gib: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monolite-bench"));
    command.args(["grow", "--short", "--gib", gib, "--dir"]).arg(folder);
    command
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn each_size_is_measured_what_has_no_room_is_said_and_the_file_is_removed() {
    let (data, other) = (tempfile::tempdir_in("/var/tmp").unwrap(), tempfile::tempdir().unwrap());
    let json = other.path().join("rows.json");
    let done = grow(data.path(), "0.01,0.02,9000000").arg("--json").arg(&json).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("LEFT OUT: no room for 9000000 GiB"), "{said}");
    let rows: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let number = |name: &str| {
        let row = rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no row {name}"));
        row["ours"].as_f64().unwrap()
    };
    for size in ["0.01", "0.02"] {
        for what in ["read_warm", "read_spread", "read_cold", "durable_write_1", "durable_write_64"] {
            assert!(number(&format!("grow_{what}_{size}gib")) > 0.0, "{what} at {size}");
        }
        assert!(number(&format!("grow_open_after_kill_{size}gib")) > 0.0);
    }
    assert!(number("grow_read_warm_factor") > 0.0);
    assert!(is_empty(data.path()));
}

#[test]
fn a_run_that_is_told_to_end_leaves_neither_files_nor_processes() {
    let data = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut run = grow(data.path(), "1").stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(said.next().as_deref(), Some("filling to 1 GiB"));
    kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
    // It ends with the last process that has its other end.
    let rest: Vec<String> = said.collect();
    assert_eq!(run.wait().unwrap().code(), Some(1));
    assert_eq!(rest, ["monolite-bench: told to end"]);
    assert!(is_empty(data.path()));
}
