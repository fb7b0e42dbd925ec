//! Bodies that never are in memory whole: large blobs on their way out, uploads on their way in.
//!
//! **Invariants**
//! - Of each stream one piece is held, besides what the connection and the kernel buffer.
//! - A peer that does not bring a piece in time is let go here; one that does not take it, by its connection (see
//!   `serve/pulse.rs`).

mod arrival;
mod departure;
mod fields;
mod places;
mod range;

pub(crate) use departure::departing;
pub(crate) use fields::{fields, header_of, is_field, progress};
pub(crate) use places::{Place, Places};
pub(crate) use range::{Part, part};
