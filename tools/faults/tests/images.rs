//! The short mode of the crash images, and that they can fail. The long one:
//! `cargo run --release -p monolite-faults -- images --count 100000 --seed 7`.

#![allow(clippy::unwrap_used)]

use monolite_faults::images::{Images, run};
use std::path::PathBuf;

fn images(count: u64, seed: u64) -> Images {
    Images { count, seed, jobs: 2, within: PathBuf::from("/dev/shm"), lying: false, forget: false }
}

#[test]
fn every_crash_image_holds_what_was_acknowledged() {
    let judged = run(&images(500, 7)).unwrap_or_else(|e| panic!("{e:#}"));
    println!("{judged}");
    assert!(judged.images >= 500 && judged.again > 0 && judged.acknowledged > 0);
}

#[test]
fn a_disk_that_lies_about_its_syncs_is_found_out() {
    let error = run(&Images { lying: true, forget: true, ..images(500, 7) }).unwrap_err();
    let found = format!("{error:#}");
    let words = ["is lost", "was answered", "were acknowledged", "does not open"];
    assert!(words.iter().any(|w| found.contains(w)), "{found}");
}
