//! The short modes of the kills and the power cuts. The long ones:
//! `cargo run --release -p monolite-faults -- kill --cycles 1000` and `-- power --cycles 300`.

#![allow(clippy::unwrap_used)]

use monolite_faults::power::{self, Cuts};
use monolite_faults::process::{self, Kills};

const PROGRAM: &str = env!("CARGO_BIN_EXE_monolite-faults");

#[test]
fn kill_9_at_any_moment_loses_nothing_that_was_acknowledged() {
    let kills = Kills { program: PROGRAM.into(), cycles: 10, seed: 11, within: "/dev/shm".into() };
    let survived = process::run(&kills).unwrap_or_else(|e| panic!("{e:#}"));
    println!("{survived}");
    assert!(survived.acknowledged > 20, "{survived}");
}

#[test]
fn power_cut_under_load_loses_nothing_that_was_acknowledged() {
    if let Some(why) = power::forbidden() {
        eprintln!("SKIPPED: power cuts: {why}");
        return;
    }
    let cuts = Cuts { program: PROGRAM.into(), cycles: 4, seed: 11, within: "/dev/shm".into() };
    let survived = power::run(&cuts).unwrap_or_else(|e| panic!("{e:#}"));
    println!("{survived}");
    assert!(survived.cuts.acknowledged > 5, "{survived}");
}
