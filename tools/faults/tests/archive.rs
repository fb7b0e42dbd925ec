//! The short mode of the archive's rig. The long one: `cargo run --release -p monolite-faults -- archive --images 20000 --kills 500`.

#![allow(clippy::unwrap_used)]

use monolite_faults::archive::{Cutting, run};

#[test]
fn a_power_cut_or_a_kill_at_any_step_of_the_archive_loses_nothing_in_silence() {
    let program = env!("CARGO_BIN_EXE_monolite-faults").into();
    let cutting = Cutting { images: 40, kills: 5, seed: 7, within: "/dev/shm".into(), program, forget: false };
    let judged = run(&cutting).unwrap_or_else(|e| panic!("{e:#}"));
    println!("{judged}");
    assert!(judged.images >= 40 && judged.restored > 80 && judged.acknowledged > 100, "{judged}");
}
