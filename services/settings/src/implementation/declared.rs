//! The settings that a program declares.

use std::collections::BTreeMap;

use monolite_service::{Json, Service};
use serde::Serialize;

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 128;

/// The settings that a program declares, each with its default.
#[derive(Debug, Clone, Default)]
pub struct Declared(BTreeMap<&'static str, Json>);

impl Declared {
    /// None yet.
    pub fn new() -> Self {
        Declared::default()
    }

    /// Declares a setting with its default: any value that is JSON.
    ///
    /// # Panics
    /// If the key is not 1 to 128 of `a-z 0-9 . _ -`, or was declared before, or the default has no JSON: slips of the
    /// program that no caller can cause.
    pub fn declare(mut self, key: &'static str, default: impl Serialize) -> Self {
        let well = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        assert!((1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(well), "setting {key:?}: not a key");
        let default = Json::of(&default).expect("a setting's default is JSON");
        let before = self.0.insert(key, default);
        assert!(before.is_none(), "setting {key:?} is declared twice");
        self
    }

    /// The service with these settings.
    pub fn service(self) -> Service {
        super::service(self)
    }

    /// The default of a key, if it is declared.
    pub(super) fn default_of(&self, key: &str) -> Option<&Json> {
        self.0.get(key)
    }
}

#[cfg(test)]
mod tests {
    use super::Declared;

    #[test]
    fn slips_of_the_program_stop_it_at_once() {
        for key in ["", "Theme", "a b", "'; DROP TABLE settings;--", "é"] {
            assert!(std::panic::catch_unwind(|| Declared::new().declare(key, 1)).is_err(), "{key:?}");
        }
        assert!(std::panic::catch_unwind(|| Declared::new().declare("a", 1).declare("a", 2)).is_err());
    }
}
