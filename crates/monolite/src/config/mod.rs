//! Configuration: declared keys, and for each the value that holds and where it came from.
//!
//! `monolite.toml` < environment `MONOLITE__SECTION__KEY` < flags. Nothing needs to be set.
//!
//! **Invariants**
//! - A key that is not declared is an error wherever it appears; the error names the nearest declared one.
//! - A value of the wrong kind is an error that names its place; nothing falls back to a default in silence.
//!
//! Never here: what a value means to the part that asks for it.

mod key;
mod layers;
mod nearest;
mod value;

pub use key::Key;
pub use layers::Sources;
pub use nearest::nearest;
pub use value::Value;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A file, and the line in it.
    File(String, usize),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(file, line) => write!(f, "{file}:{line}"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// What is wrong with the configuration: a text that names the place, the key and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// The values that hold.
#[derive(Debug, Clone)]
pub struct Config {
    entries: BTreeMap<&'static str, Entry>,
}

/// One key with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Value,
    /// Where the value came from.
    pub origin: Origin,
}

impl Config {
    /// All keys at their defaults.
    ///
    /// Panics where two keys have one name: a mistake in the program.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Self {
        let mut entries = BTreeMap::new();
        for key in keys {
            let name = key.name;
            let entry = Entry { value: key.default.clone(), origin: Origin::Default, key };
            assert!(entries.insert(name, entry).is_none(), "the configuration key {name} is declared twice");
        }
        Config { entries }
    }

    /// Every key with its value, in the order of names.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// A text.
    pub fn text(&self, name: &str) -> &str {
        match self.value(name) {
            Value::Text(text) => text,
            other => mistaken(name, "a text", other),
        }
    }

    /// A number.
    pub fn number(&self, name: &str) -> u64 {
        match self.value(name) {
            Value::Number(number) => *number,
            other => mistaken(name, "a number", other),
        }
    }

    /// Yes or no.
    pub fn flag(&self, name: &str) -> bool {
        match self.value(name) {
            Value::Flag(flag) => *flag,
            other => mistaken(name, "a flag", other),
        }
    }

    /// A time span.
    pub fn time(&self, name: &str) -> Duration {
        match self.value(name) {
            Value::Time(time) => *time,
            other => mistaken(name, "a time", other),
        }
    }

    /// A size in bytes.
    pub fn bytes(&self, name: &str) -> u64 {
        match self.value(name) {
            Value::Bytes(bytes) => *bytes,
            other => mistaken(name, "a size", other),
        }
    }

    /// Where a key's value came from.
    pub fn origin(&self, name: &str) -> &Origin {
        &self.entry(name).origin
    }

    fn value(&self, name: &str) -> &Value {
        &self.entry(name).value
    }

    fn entry(&self, name: &str) -> &Entry {
        self.entries.get(name).unwrap_or_else(|| panic!("the configuration key {name} is not declared"))
    }

    /// Sets a key to a text from outside.
    pub(crate) fn set(&mut self, name: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let entry = self.find(name, &origin)?;
        let value = entry.value.parse_like(text).map_err(|why| wrong_value(&origin, name, &why))?;
        if entry.key.never_zero && value.is_zero() {
            let zero = if matches!(value, Value::Text(_)) { "empty" } else { "0" };
            let why = format!("must not be {zero}; the default is {}", entry.key.default);
            return Err(wrong_value(&origin, name, &why));
        }
        if let Some(most) = entry.key.most.as_ref().filter(|most| value > **most) {
            return Err(wrong_value(&origin, name, &format!("must be {most} at most, not {value}")));
        }
        entry.value = value;
        entry.origin = origin;
        Ok(())
    }

    fn find(&mut self, name: &str, origin: &Origin) -> Result<&mut Entry, ConfigError> {
        if !self.entries.contains_key(name) {
            return Err(self.unknown(name, origin));
        }
        Ok(self.entries.get_mut(name).expect("it was found just above"))
    }

    fn unknown(&self, name: &str, origin: &Origin) -> ConfigError {
        let near = match nearest(name, self.entries.keys().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => "`config print` lists the known keys".to_owned(),
        };
        ConfigError(format!("{origin}: unknown configuration key {name}; {near}"))
    }
}

fn wrong_value(origin: &Origin, name: &str, why: &str) -> ConfigError {
    ConfigError(format!("{origin}: {name} {why}"))
}

fn mistaken(name: &str, asked: &str, is: &Value) -> ! {
    panic!("the configuration key {name} was asked for as {asked} but is {is:?}")
}
