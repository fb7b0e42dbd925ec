//! The benchmarks: our store and server against peers, in one async harness, as ratios.
//!
//! `monolite-bench store`, `http`, `peers`, `grow` and `giants` print tables; with `--json FILE` they also write an array
//! of rows.
//! A ratio is always how many times better ours is: above 1 means ahead.
//!
//! **Invariants**
//! - Ours and a peer run in the same harness (tokio, two workers), on the same rows, the same disk, in turns; medians are compared.
//! - A row says the durability of both sides. A missing peer is said, never counted as passed.
//! - Peers are set up as well as we know how; where a setting was chosen for a peer's good, its file says so.
//!
//! Absent on purpose: thresholds. What must hold is the business of whoever reads the rows.

mod archive;
mod arguments;
mod compare;
mod crowd;
mod cut;
mod drive;
pub mod giants;
mod grow;
mod http;
mod interrupt;
mod items;
pub mod kill;
mod machine;
mod measure;
mod noisy;
mod overload;
mod page;
mod peers;
mod place;
mod plot;
mod process;
mod random;
mod report;
mod server;
mod store;
mod table;

pub use arguments::run;
