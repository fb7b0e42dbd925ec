//! Faults on purpose: rigs that break the disk, the process and the machine under the real store, and an oracle that
//! knows what must survive. What they prove, and what not: docs/operate/faults.md.
//!
//! **Invariants**
//! - A rig prints its seed, and the seed repeats it as far as threads allow.
//! - An oracle judges by what clients were told, never by what the store says of itself.

pub mod archive;
mod arguments;
pub mod check;
pub mod cut;
pub mod disk;
pub mod history;
pub mod images;
mod pauses;
pub mod planted;
pub mod points;
pub mod power;
pub mod process;
mod progress;
pub mod random;
pub mod rewind;
mod steps;
pub mod system;
pub mod vfs;
pub mod work;

pub use arguments::run;
