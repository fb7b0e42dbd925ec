//! The short mode of the fault points: a sample. All of them:
//! `cargo run --release -p monolite-faults -- points --seed 3`.

#![allow(clippy::unwrap_used)]

use monolite_faults::points::{Points, run};
use std::path::PathBuf;

fn points(sample: usize) -> Points {
    Points {
        seed: 3,
        sample: Some(sample),
        call: None,
        syncs: false,
        overlap: false,
        forget: false,
        jobs: 2,
        within: PathBuf::from("/dev/shm"),
    }
}

#[test]
fn a_fault_at_any_call_leaves_every_answer_true() {
    let passed = run(&points(60)).unwrap_or_else(|e| panic!("{e:#}"));
    println!("{passed}");
    assert!(passed.tried == 60 && passed.fired > 40 && passed.all > 2000, "{passed}");
}

#[test]
fn a_sync_that_fails_beside_another_one_leaves_every_answer_true() {
    let points = Points { seed: 4, syncs: true, overlap: true, jobs: 8, ..points(60) };
    let passed = run(&points).unwrap_or_else(|e| panic!("{e:#}"));
    println!("{passed}");
    assert!(passed.tried == 60 && passed.fired > 40, "{passed}");
}
