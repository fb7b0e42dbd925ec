//! Are the tests worth anything? Each bug of a list is planted into the crate, and the test beside it must find it.
//!
//! `cargo test -p monolite-archive --test planted -- --ignored`; `.ci/run` does. The crate is built a second time, with
//! `--cfg monolite_planted` for the workspace's own crates.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The bug, the test binary (the library's own tests are `monolite_archive`), the test.
const BUGS: [(&str, &str, &str); 14] = [
    ("merge_keeps_the_older", "restore", "every_commit_that_was_kept_comes_back_as_it_was"),
    ("merge_goes_past_the_end", "restore", "every_commit_that_was_kept_comes_back_as_it_was"),
    ("merge_takes_the_first_moment", "restore", "a_time_brings_the_newest_state_from_before_it"),
    ("missing_pages_unnoticed", "restore", "a_page_that_was_captured_without_its_growth_is_noticed"),
    ("plan_without_the_last", "restore", "every_commit_that_was_kept_comes_back_as_it_was"),
    ("plan_passes_a_gap", "restore", "a_missing_segment_is_a_gap_for_every_target_past_it"),
    ("time_is_not_strict", "restore", "a_time_brings_the_newest_state_from_before_it"),
    ("sum_not_checked", "restore", "damage_in_any_segment_of_the_plan_is_refused_and_named"),
    ("written_over", "restore", "nothing_is_written_over"),
    ("sequence_inside_not_compared", "restore", "a_file_whose_own_sequence_is_another_is_refused"),
    ("name_given_twice", "folder", "a_name_is_given_once"),
    ("lock_page_stored", "monolite_archive", "ltx::tests::the_lock_page_is_never_stored"),
    ("pins_forgotten", "monolite_archive", "retain::tests::what_was_merged_goes_when_the_last_of_it_is_old_enough"),
    ("horizon_too_young", "monolite_archive", "retain::tests::generations_go_as_wholes_and_one_more_than_needed_stays"),
];

#[test]
#[ignore = "builds the crate a second time"]
fn every_planted_bug_is_caught() {
    let programs = build();
    let mut uncaught = Vec::new();
    for (bug, binary, test) in BUGS {
        assert!(run(&programs[binary], test, None), "{test} fails without a bug");
        let caught = !run(&programs[binary], test, Some(bug));
        eprintln!("{bug:30} {} by {test}", if caught { "caught" } else { "NOT CAUGHT" });
        uncaught.extend((!caught).then_some(bug));
    }
    assert!(uncaught.is_empty(), "{uncaught:?}");
}

/// The test binaries with the bugs in them, by name.
fn build() -> BTreeMap<String, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "test",
            "--quiet",
            "--no-run",
            "--message-format=json",
            "--lib",
            "--test",
            "restore",
            "--test",
            "folder",
        ])
        .env("RUSTC_WORKSPACE_WRAPPER", folder.join("../../tools/faults/planted/rustc"))
        .current_dir(folder)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(built.status.success(), "building with the planted bugs failed");
    let messages = String::from_utf8(built.stdout).unwrap();
    let program = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let (name, program) = (message["target"]["name"].as_str()?, message["executable"].as_str()?);
        Some((name.to_owned(), PathBuf::from(program)))
    };
    messages.lines().filter_map(program).collect()
}

/// Whether one test passes over one bug, or over none.
fn run(program: &Path, test: &str, bug: Option<&str>) -> bool {
    let mut command = Command::new(program);
    command.args(["--exact", test]).stdout(Stdio::piped()).stderr(Stdio::null());
    command.env_remove("MONOLITE_PLANTED").envs(bug.map(|bug| ("MONOLITE_PLANTED", bug)));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("running 1 test"), "there is no {test}: {said}");
    output.status.success()
}
