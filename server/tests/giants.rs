//! A large file through the standard server, killed in between: a short run of the bench's giants rig. The full run is
//! `cargo run --release -p monolite-bench -- giants`.

use monolite_bench::giants::{Giants, run};
use std::time::Duration;

/// Most memory beyond that of the idle server, whatever the size of the file.
const MEMORY_MAX: u64 = 64 << 20;

#[test]
fn a_file_larger_than_the_memory_it_may_take_survives_kill_9_in_both_directions() {
    let giants = Giants {
        server: Some(env!("CARGO_BIN_EXE_monolite").into()),
        within: "/var/tmp".into(),
        bytes: 160 << 20,
        alone: Duration::from_millis(200),
    };
    let seen = run(&giants).unwrap_or_else(|e| panic!("{e:#}"));
    assert!(seen.memory_over_idle < MEMORY_MAX, "{} bytes over idle", seen.memory_over_idle);
    assert!(seen.standing_after_kill >= giants.bytes * 3 / 10, "{} stood after the kill", seen.standing_after_kill);
}
