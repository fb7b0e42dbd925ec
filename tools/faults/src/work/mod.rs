//! The work that the rigs give to a store: writes that a later look can tell apart, judge and put in order.
//!
//! Each write adds a row to a log, links it into a chain of hashes and changes a heap of other rows, so that the state of
//! a file says which writes are in it, in which order, whether each is whole, and whether one was done twice.

mod gate;
mod open;
mod oracle;
mod run;
mod step;
mod wait;

pub use open::{config, migrations};
pub use oracle::{Found, Knowledge, Row};
pub use run::{Run, Shape, run};
pub(crate) use step::CLIENTS;
pub use step::{End, add, chained};
pub use wait::{ready, within};
