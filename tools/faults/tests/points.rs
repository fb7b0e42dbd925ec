//! The short mode of the fault points: a sample. All of them:
//! `cargo run --release -p monolite-faults -- points --seed 3`.

#![allow(clippy::unwrap_used)]

use monolite_faults::points::{Points, run};
use std::path::PathBuf;

#[test]
fn a_fault_at_any_call_leaves_every_answer_true() {
    let points =
        Points { seed: 3, sample: Some(60), call: None, syncs: false, jobs: 2, within: PathBuf::from("/dev/shm") };
    let passed = run(&points).unwrap_or_else(|e| panic!("{e:#}"));
    println!("{passed}");
    assert!(passed.tried == 60 && passed.fired > 40 && passed.all > 2000, "{passed}");
}
