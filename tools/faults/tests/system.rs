//! The short mode of the system's rig. The long one: `cargo run --release -p monolite-faults -- system --restores 100`.

#![allow(clippy::unwrap_used)]

use monolite_faults::system::{System, run};

#[test]
fn a_system_under_kills_comes_back_to_each_of_its_cuts_and_goes_on() {
    let program = env!("CARGO_BIN_EXE_monolite-faults").into();
    let held = run(&System { program, restores: 6, seed: 5, within: "/dev/shm".into() });
    let held = held.unwrap_or_else(|e| panic!("{e:#}"));
    println!("{held}");
    assert!(held.marks >= 3 && held.restored + held.refused >= 6 && held.moves > 10 && held.kills > 1, "{held}");
}
