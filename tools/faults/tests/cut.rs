//! The short mode of the cuts' rig. The long one: `cargo run --release -p monolite-faults -- cut`.

#![allow(clippy::unwrap_used)]

use monolite_faults::cut::{Cutting, run};

#[test]
fn ten_thousand_cuts_are_each_of_one_moment() {
    let seen = run(&Cutting { cuts: 10_000, seed: 3, within: "/dev/shm".into() });
    let seen = seen.unwrap_or_else(|e| panic!("{e:#}"));
    println!("{seen}");
    assert!(seen.cuts >= 10_000 && seen.moves >= 500 && seen.retried > 0, "{seen}");
}
