//! The standard server under `kill -9`: a few cycles of the bench's kill rig. The full run is
//! `cargo run --release -p monolite-bench -- kill --cycles 50`.

use monolite_bench::kill::{Kill, run};
use std::time::Duration;

#[test]
fn every_acknowledged_document_survives_kill_9_under_load() {
    let kill = Kill {
        server: Some(env!("CARGO_BIN_EXE_monolite").into()),
        within: "/var/tmp".into(),
        cycles: 3,
        seed: 7,
        start_max: Duration::from_secs(20),
    };
    let survived = run(&kill).unwrap_or_else(|e| panic!("{e:#}"));
    assert!(survived.acknowledged > 0 && survived.refused > 0, "nothing was written: {survived}");
}
