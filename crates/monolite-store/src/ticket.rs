//! What travels with a read or a write: for whom, until when, of which kind.

use std::time::Instant;

/// For whom the work is done. Queues are fair between tenants; 0 is the system itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tenant(pub u64);

/// What travels with a read or a write. `Ticket::default()` has the store's own deadline and no label.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ticket {
    /// For whom.
    pub tenant: Tenant,
    /// When the answer is of no more use. `None` means, from now, `Config::deadline` for a write and
    /// `Config::slow_time_max` for a read.
    pub deadline: Option<Instant>,
    /// The kind of work, for statistics and for the choice of the lane; empty means the closure's type.
    pub label: &'static str,
    /// A read that is known to be slow goes to the slow lane at once.
    pub slow: bool,
    /// The trace that the work belongs to, where the store is asked what it does; 0 means none.
    pub trace: u128,
}

impl Ticket {
    /// A ticket with a label.
    pub fn label(label: &'static str) -> Self {
        Ticket { label, ..Ticket::default() }
    }

    /// The same, for a tenant.
    pub fn tenant(self, tenant: Tenant) -> Self {
        Ticket { tenant, ..self }
    }

    /// The same, with a deadline.
    pub fn deadline(self, deadline: Instant) -> Self {
        Ticket { deadline: Some(deadline), ..self }
    }

    /// The same, in a trace.
    pub fn trace(self, trace: u128) -> Self {
        Ticket { trace, ..self }
    }

    /// The same, for the slow lane.
    pub fn slow(self) -> Self {
        Ticket { slow: true, ..self }
    }
}
