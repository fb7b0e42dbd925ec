//! Keys: what can be configured, with its default and a sentence about it.

use super::Value;

/// One thing that can be configured. The kind of its values is the kind of its default.
#[derive(Debug, Clone)]
pub struct Key {
    /// The name: `section.key`, both of lower-case letters, digits and `_`.
    pub name: &'static str,
    /// What holds when nobody says anything.
    pub default: Value,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// Whether 0 is a mistake: nothing would be done any more.
    pub(crate) never_zero: bool,
    /// The largest number, size or time that it may have.
    pub(crate) most: Option<Value>,
}

impl Key {
    /// A key. Panics on a name that is not `section.key`: a mistake in the program.
    pub fn new(name: &'static str, default: impl Into<Value>, about: &'static str) -> Self {
        let plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let good = name.split_once('.').is_some_and(|(section, key)| plain(section) && plain(key));
        assert!(good, "a configuration key is `section.key`, not {name:?}");
        Key { name, default: default.into(), about, never_zero: false, most: None }
    }

    /// The same, for which 0 (or no text) is a mistake: a bound that lets nothing in, a time in which nothing can be done.
    pub fn never_zero(self) -> Self {
        Key { never_zero: true, ..self }
    }

    /// The same, for which more than this is a mistake. Panics on one that is not of the default's kind, or below it.
    pub fn at_most(self, most: impl Into<Value>) -> Self {
        let (most, default) = (most.into(), &self.default);
        let is_one = std::mem::discriminant(&most) == std::mem::discriminant(default) && *default <= most;
        assert!(is_one, "{} cannot be {most} at most: its default is {default}", self.name);
        Key { most: Some(most), ..self }
    }
}
