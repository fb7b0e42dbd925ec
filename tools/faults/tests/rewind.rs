//! The short mode of the rig of rewinds. The long one: `cargo run --release -p monolite-faults -- rewind --images 5000`.

#![allow(clippy::unwrap_used)]

use monolite_faults::rewind::{Rewinding, run};

#[test]
fn a_power_cut_at_any_step_of_a_rewind_leaves_one_file_serving_and_the_other_kept() {
    let program = env!("CARGO_BIN_EXE_monolite-faults").into();
    let settled = run(&Rewinding { images: 40, seed: 7, within: "/dev/shm".into(), program });
    let settled = settled.unwrap_or_else(|e| panic!("{e:#}"));
    println!("{settled}");
    assert!(
        settled.images >= 40 && settled.old > 0 && settled.old < settled.images && settled.nothing > 0,
        "{settled}"
    );
}
