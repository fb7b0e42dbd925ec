//! Input: what a request says, checked before a service sees it.

mod body;
mod fault;
mod pairs;
mod scan;
mod shape;
#[cfg(test)]
mod tests;

pub(crate) use body::{Bounds, drain, is_json, is_plain, read as read_body, too_large, too_slow, turn_away};
pub(crate) use fault::Fault;
pub(crate) use pairs::{Pair, decode, read_query};
pub(crate) use scan::{Expected, push_token, scan};
pub(crate) use shape::{ANY, Kind, Shapes};
