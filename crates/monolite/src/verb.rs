//! Verbs: what a command line offers, one type each.

use crate::context::Context;
use std::fmt;

/// The result of a verb; any error will do, its text and its sources are printed.
pub type Result<T = ()> = anyhow::Result<T>;

/// A verb of the command line: its arguments, and what it does with them.
///
/// The arguments derive `clap::Args`; the type's documentation is the verb's help.
pub trait Verb: clap::Args + Send + 'static {
    /// What is typed.
    const NAME: &'static str;

    /// Configuration keys that the verb's own flags set.
    fn sets(&self) -> Vec<SetByFlag> {
        Vec::new()
    }

    /// Does it. Data goes to stdout, everything else to stderr.
    fn run(self, context: &Context) -> Result;
}

/// A configuration key that a flag sets.
#[derive(Debug, Clone)]
pub struct SetByFlag {
    /// The key.
    pub key: &'static str,
    /// The flag, as it is typed.
    pub flag: &'static str,
    /// The value.
    pub value: String,
}

/// The command was used wrongly: exit code 2, as for arguments that cannot be read.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The command found what it was asked to look for (`check`: damage), and has said so: exit code 1, nothing more to print.
#[derive(Debug)]
pub struct Found;

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("problems were found")
    }
}

impl std::error::Error for Found {}
