//! Metrics: what the process does, in Prometheus' text form.
//!
//! One [`Metrics`] is made by the program before its host, given to the stores as their observer, to the edge for its
//! requests, and to the admin router for the page. Calls are counted by the host itself.
//!
//! **Invariants**
//! - Labels are services, messages, routes, modes and codes: closed sets, never a user, a tenant or an id.
//! - Handles are taken once; counting on a request's path takes no lock.
//!
//! Never here: gauges of stores, which the page asks for when it is read (see `admin.rs`).

mod histogram;
mod text;

pub(crate) use histogram::{Counter, Counts, Durations};
pub(crate) use text::{family, sample};

use crate::admission::{Gate, Pressure};
use crate::budget::Budget;
use crate::stream::Places;
use http::StatusCode;
use monolite_service::{CheckpointMode, Gauge, GroupMax, Observer, SlowRun, SlowWork};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Problem codes counted apart; a service's own codes beyond these are counted together.
const CODES_MAX: usize = 256;

/// What the process does. Clones are handles to the same numbers.
#[derive(Debug, Clone, Default)]
pub struct Metrics(pub(crate) Arc<All>);

#[derive(Debug, Default)]
pub(crate) struct All {
    pub(crate) stores: Mutex<BTreeMap<&'static str, Arc<StoreMeter>>>,
    pub(crate) routes: Mutex<BTreeMap<(String, String), Arc<RouteMeter>>>,
    pub(crate) refused: Mutex<BTreeMap<String, u64>>,
    pub(crate) in_flight: Counter,
    /// What the edge bounds; there once a router was made.
    pub(crate) gates: Mutex<BTreeMap<&'static str, Arc<Gate>>>,
    pub(crate) budget: Mutex<Option<Arc<Budget>>>,
    pub(crate) places: Mutex<Option<Arc<Places>>>,
    /// The program's own.
    pub(crate) gauges: Mutex<Vec<(&'static str, Gauge)>>,
}

/// What one store does.
#[derive(Debug, Default)]
pub(crate) struct StoreMeter {
    pub(crate) waited: Durations,
    pub(crate) held: Durations,
    pub(crate) committed: Durations,
    pub(crate) group: Counts,
    pub(crate) beside: Durations,
    pub(crate) between: Durations,
    pub(crate) frames_copied: Counter,
    pub(crate) moved: Counter,
    pub(crate) refused: Counter,
    pub(crate) slow: Counter,
    /// For the gate before the writer.
    pub(crate) pressure: Arc<Pressure>,
}

/// The requests of one route.
#[derive(Debug, Default)]
pub(crate) struct RouteMeter {
    pub(crate) took: Durations,
    /// By the first digit of the status, 1 to 5.
    pub(crate) statuses: [Counter; 5],
}

impl Metrics {
    /// Numbers that all start at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// The observer of a service's store.
    pub fn observer(&self, service: &'static str) -> Arc<dyn Observer> {
        locked(&self.0.stores).entry(service).or_default().clone()
    }

    /// Shows what the program knows of services, beside what they know of themselves.
    pub fn add_gauges(&self, gauges: impl IntoIterator<Item = (&'static str, Gauge)>) {
        locked(&self.0.gauges).extend(gauges);
    }

    pub(crate) fn gauges(&self) -> Vec<(&'static str, Gauge)> {
        locked(&self.0.gauges).clone()
    }

    /// The page, without the gauges of stores.
    pub fn page(&self) -> String {
        text::page(&self.0)
    }

    /// The gate before a service's writer.
    pub(crate) fn gate(&self, service: &'static str, wait: Duration, most: usize, group_max: GroupMax) -> Arc<Gate> {
        let pressure = locked(&self.0.stores).entry(service).or_default().pressure.clone();
        let gate = Arc::new(Gate::new(pressure, wait, most, group_max));
        locked(&self.0.gates).insert(service, gate.clone());
        gate
    }

    /// The room for bodies.
    pub(crate) fn budget(&self, budget: Budget) -> Arc<Budget> {
        let budget = Arc::new(budget);
        *locked(&self.0.budget) = Some(budget.clone());
        budget
    }

    /// The places of streams.
    pub(crate) fn places(&self, places: Places) -> Arc<Places> {
        let places = Arc::new(places);
        *locked(&self.0.places) = Some(places.clone());
        places
    }

    pub(crate) fn route(&self, method: &str, path: &str) -> Arc<RouteMeter> {
        locked(&self.0.routes).entry((method.to_owned(), path.to_owned())).or_default().clone()
    }

    pub(crate) fn problem(&self, code: &str) {
        let mut refused = locked(&self.0.refused);
        let code = if refused.contains_key(code) || refused.len() < CODES_MAX { code } else { "other" };
        match refused.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(refused.insert(code.to_owned(), 1)),
        }
    }
}

impl RouteMeter {
    pub(crate) fn ended(&self, took: Duration, status: StatusCode) {
        self.took.record(took);
        let class = usize::from(status.as_u16() / 100).clamp(1, 5);
        self.statuses[class - 1].raise();
    }
}

impl Observer for StoreMeter {
    fn slow(&self, run: &SlowRun) {
        self.slow.raise();
        let trace_id = (run.trace != 0).then(|| format!("{:032x}", run.trace));
        let (took_ms, tenant) = (run.took.as_millis(), format!("{:016x}", run.tenant.0));
        let (message, statement, plan) = (run.label, run.statement.as_deref(), run.plan.join("; "));
        match run.work {
            SlowWork::Write => tracing::warn!(message, trace_id, tenant, took_ms, statement, plan, "a slow write"),
            SlowWork::Read => tracing::warn!(message, trace_id, tenant, took_ms, statement, plan, "a slow read"),
        }
    }

    fn waited(&self, _: &'static str, wait: Duration) {
        self.waited.record(wait);
        self.pressure.waited(wait);
    }

    fn held(&self, _: &'static str, hold: Duration) {
        self.held.record(hold);
        self.pressure.held(hold);
    }

    fn committed(&self, writes: usize, commit: Duration) {
        self.group.record(writes as u64);
        self.committed.record(commit);
        self.pressure.committed(commit);
    }

    fn checkpointed(&self, mode: CheckpointMode, _frames: u64, copied: u64, took: Duration) {
        match mode {
            CheckpointMode::Beside => self.beside.record(took),
            CheckpointMode::Between => self.between.record(took),
        }
        self.frames_copied.add(copied);
    }

    fn moved(&self, _: &'static str) {
        self.moved.raise();
    }

    fn refused(&self, _: &'static str) {
        self.refused.raise();
    }
}

/// Counters have no state that a panic could leave half done.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
