//! Bugs on purpose, to see whether the tests find them (`tests/planted.rs`): the store's macro, and its choice of one.

pub(crate) use monolite_store::planted;
