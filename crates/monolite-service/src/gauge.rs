//! Gauges: numbers that a service shows to its operators.
//!
//! **Invariants**
//! - Reading one is a look at a number in memory: no file, no lock that is held for long.
//! - Names and labels are fixed; never a user, an address or an id.

use std::fmt;
use std::sync::Arc;

/// What a number does over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GaugeKind {
    /// It goes up and down.
    #[default]
    Gauge,
    /// It only goes up.
    Counter,
}

/// A number that a service shows, under a metric's name.
#[derive(Clone)]
pub struct Gauge {
    /// The metric: `monolite_sign_in_tries_left`.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub help: &'static str,
    /// What it does over time.
    pub kind: GaugeKind,
    /// A label and its value, where one metric has several numbers.
    pub label: Option<(&'static str, &'static str)>,
    read: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Gauge {
    /// A number that goes up and down.
    pub fn new(name: &'static str, help: &'static str, read: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Gauge { name, help, kind: GaugeKind::Gauge, label: None, read: Arc::new(read) }
    }

    /// The same, of another kind.
    pub fn kind(self, kind: GaugeKind) -> Self {
        Gauge { kind, ..self }
    }

    /// The same, told from others of its name by a label.
    pub fn label(self, name: &'static str, value: &'static str) -> Self {
        Gauge { label: Some((name, value)), ..self }
    }

    /// The number now.
    pub fn read(&self) -> u64 {
        (self.read)()
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauge").field("name", &self.name).field("label", &self.label).finish_non_exhaustive()
    }
}
