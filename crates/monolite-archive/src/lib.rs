//! A store's history: where each commit is kept, and how any moment comes back.
//!
//! An *archive* is a [`place`](Place) (a folder, a bucket) with one folder for each *history* of each service. A history is a
//! line of *segments*: immutable, checksummed files of the pages that some commits changed. A segment from commit 1
//! is a *base*: the whole file. The files are LTX version 3 in the layouts of Litestream 0.5, so a second program can
//! restore what this one wrote; the bytes are in `docs/format/archive.md`.
//!
//! **Invariants**
//! - What lies in an archive under a segment's name is whole: written beside, synced, and only then given its name.
//! - Two writers never mix in one history: names are put only where there is none, and each writer epoch is claimed once.
//! - Nothing is restored past a gap or a wrong checksum, and nothing is ever written over.
//! - Memory is bounded whatever the file's size.
//!
//! Absent on purpose: services, HTTP, an async runtime in the API.

mod archiver;
mod asking;
mod base;
mod beside;
mod check;
mod claims;
pub mod cuts;
pub mod disk;
mod error;
mod history;
mod layout;
pub mod ltx;
mod manifest;
mod merge;
mod moment;
mod openings;
mod partial;
pub mod place;
mod plan;
mod planning;
mod planted;
mod prove;
mod read;
mod restore;
mod retain;
mod room;
mod same;
mod spool;
mod state;
mod verify;

pub use archiver::{
    Archive, Archived, AtBound, Config, Heard, Marked, Now, Pinned, Rest, Sound, State, Status, Tell, Verification,
    Wrong,
};
pub use error::{Error, Kind, Result, Sides};
pub use history::{History, Segment, Writing};
pub use layout::{BASES, Layout, Level, SegmentName, history_root};
pub use manifest::{Claim, FORMAT, Manifest, claim};
pub use merge::{INPUTS_MAX, Merge};
pub use place::{Entry, Place, Upload};
pub use plan::{Plan, Target};
pub use planning::{Newest, newest, plan, plan_beside_newest};
pub use prove::{Compared, Proof, is_wrong};
pub use read::{compact, open, pages};
pub use restore::{Check, Phase, Progress, Restored, restore, restore_noting, restore_planned};
pub use retain::{Keep, expendable, pins};
pub use room::{AskDisk, Disk, Room};
pub use spool::{carry_spool, is_of_another};
pub use state::hex;
pub use verify::{Problem, Verified, verify};
