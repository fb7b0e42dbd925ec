//! Who holds each writer, who waits for it, and who held it longest: as it is shown and sent.
//!
//! **Invariants**
//! - Tenants and traces are text in hexadecimal, since both are larger than what JSON's readers keep of a number.

use monolite_store::{Store, Tenant};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A service's writer at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// The service.
    pub service: String,
    /// Who holds it.
    pub holder: Option<Holding>,
    /// Writes that wait.
    pub queued: usize,
    /// Tenants whose writes wait.
    pub tenants: usize,
    /// Those who have waited longest.
    pub waiting: Vec<WaitingTenant>,
    /// The longest holds of the last hour, the longest first.
    pub longest: Vec<Holding>,
}

/// A write that holds or held the writer; or the store's own work: `commit`, `checkpoint`, `migration`, `cut`, `follower`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The message: `Documents.PutDocument`.
    pub message: String,
    /// For whom.
    pub tenant: String,
    /// The trace that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// How long ago it began, in milliseconds.
    pub began_ms_ago: u64,
    /// How long it has held the writer, in microseconds.
    pub held_us: u64,
    /// The statement that runs, or ran long, where one was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

/// A tenant whose writes wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingTenant {
    /// The tenant.
    pub tenant: String,
    /// Its writes.
    pub writes: usize,
    /// How long the first of them has waited, in microseconds.
    pub oldest_us: u64,
}

impl Writer {
    pub(crate) fn of(service: &'static str, store: &Store) -> Self {
        let (view, now) = (store.writer(), Instant::now());
        let holding = |label: &str, tenant, trace, since: Instant, held, statement: Option<String>| Holding {
            message: label.to_owned(),
            tenant: name(tenant),
            trace_id: (trace != 0).then(|| format!("{trace:032x}")),
            began_ms_ago: u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX),
            held_us: micros(held),
            statement,
        };
        Writer {
            service: service.to_owned(),
            holder: view.holder.map(|h| {
                let held = now.saturating_duration_since(h.since);
                holding(h.label, h.tenant, h.trace, h.since, held, h.statement)
            }),
            queued: view.queued,
            tenants: view.tenants,
            waiting: view
                .waiting
                .iter()
                .map(|w| WaitingTenant { tenant: name(w.tenant), writes: w.writes, oldest_us: micros(w.oldest) })
                .collect(),
            longest: view
                .longest
                .into_iter()
                .map(|h| holding(h.label, h.tenant, h.trace, h.since, h.held, h.statement))
                .collect(),
        }
    }
}

/// `system`, or the tenant's number.
fn name(tenant: Tenant) -> String {
    if tenant.0 == 0 { "system".to_owned() } else { format!("{:016x}", tenant.0) }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
