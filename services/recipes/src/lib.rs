//! Recipes: a recipe book that scales to the number of guests. The tutorial builds this crate step by step.

#[allow(missing_docs)] // the fields say what they are
mod contract;
mod implementation;

pub use {contract::*, implementation::service};
