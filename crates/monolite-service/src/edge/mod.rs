//! What an edge hands in and gets back: neutral words, no HTTP.
//!
//! **Invariants**
//! - A request becomes a message in one pass; no tree of JSON values is built.
//! - Unknown and duplicate names are refused, at any depth that the message's types describe.

mod answer;
mod large;
mod rejection;
mod request;
mod strict;
mod takes;
mod text;
mod wrong;

#[cfg(test)]
mod tests;

pub use answer::{Answer, Large};
pub use rejection::Rejection;
pub use request::Request;
pub use takes::Takes;
