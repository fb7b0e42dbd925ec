//! The short mode of the history check. The long one: `cargo run --release -p monolite-faults -- history --writes 100000`.

#![allow(clippy::unwrap_used)]

use monolite_faults::history::{Stress, stress};

#[test]
fn what_threads_see_is_strictly_serializable() {
    let judged = stress(&Stress { seed: 5, threads: 4, writes: 300, within: "/dev/shm".into() });
    let judged = judged.unwrap_or_else(|e| panic!("{e:#}"));
    println!("{judged}");
    assert!(judged.writes > 900 && judged.reads > 100, "{judged}");
}
