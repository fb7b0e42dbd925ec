//! What was sent and what was answered, by document number.
//!
//! **Invariants**
//! - A number is noted as sent before its first byte leaves, and as acknowledged after the whole answer was read.
//! - A connection sends a document after the answer to the one before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// The ledger.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    sent: u64,
    acknowledged: BTreeMap<u64, Done>,
    unanswered: BTreeSet<u64>,
    turned_away: BTreeSet<u64>,
    /// The connection of each number.
    connections: Vec<usize>,
    /// Numbers from here on were not looked at yet.
    verified: u64,
    /// Replacements that were refused.
    refused: u64,
}

/// What a document's answer said.
#[derive(Debug, Clone)]
struct Done {
    id: String,
    commit: u64,
}

/// What is known of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// Answered with this id.
    Acknowledged(String),
    /// Sent, not answered.
    Unanswered,
    /// Answered that the server has too much to do, and that nothing was done.
    TurnedAway,
    /// Never sent.
    Unknown,
}

impl Ledger {
    /// Notes that the next document is about to be sent: its number.
    pub(crate) fn send(&self, connection: usize) -> u64 {
        let mut entries = self.0.lock().expect("no holder panics");
        let n = entries.sent;
        entries.sent += 1;
        entries.unanswered.insert(n);
        entries.connections.push(connection);
        n
    }

    /// Notes an answer.
    pub(crate) fn acknowledge(&self, n: u64, id: String, commit: u64) {
        let mut entries = self.0.lock().expect("no holder panics");
        entries.unanswered.remove(&n);
        entries.acknowledged.insert(n, Done { id, commit });
    }

    /// Notes that the server had too much to do.
    pub(crate) fn turn_away(&self, n: u64) {
        let mut entries = self.0.lock().expect("no holder panics");
        entries.unanswered.remove(&n);
        entries.turned_away.insert(n);
    }

    /// Notes that a replacement was refused.
    pub(crate) fn refuse(&self) {
        self.0.lock().expect("no holder panics").refused += 1;
    }

    /// What is known of a document.
    pub(crate) fn of(&self, n: u64) -> Known {
        let entries = self.0.lock().expect("no holder panics");
        match entries.acknowledged.get(&n) {
            Some(done) => Known::Acknowledged(done.id.clone()),
            None if entries.unanswered.contains(&n) => Known::Unanswered,
            None if entries.turned_away.contains(&n) => Known::TurnedAway,
            None => Known::Unknown,
        }
    }

    /// The numbers that were sent since this was asked the last time.
    pub(crate) fn latest(&self) -> std::ops::Range<u64> {
        let mut entries = self.0.lock().expect("no holder panics");
        let latest = entries.verified..entries.sent;
        entries.verified = entries.sent;
        latest
    }

    /// Which connection sent a document.
    pub(crate) fn connection(&self, n: u64) -> Option<usize> {
        self.0.lock().expect("no holder panics").connections.get(n as usize).copied()
    }

    /// The commit that a document was acknowledged with.
    pub(crate) fn commit(&self, n: u64) -> Option<u64> {
        self.0.lock().expect("no holder panics").acknowledged.get(&n).map(|done| done.commit)
    }

    /// How many replacements were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.0.lock().expect("no holder panics").refused
    }

    /// How many were turned away.
    pub(crate) fn turned_away(&self) -> u64 {
        self.0.lock().expect("no holder panics").turned_away.len() as u64
    }

    /// How many were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.0.lock().expect("no holder panics").acknowledged.len() as u64
    }

    /// How many were sent and not answered.
    pub(crate) fn unanswered(&self) -> u64 {
        self.0.lock().expect("no holder panics").unanswered.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_unanswered_until_it_is_acknowledged() {
        let ledger = Ledger::default();
        let (a, b) = (ledger.send(0), ledger.send(3));
        ledger.acknowledge(b, "id".into(), 7);
        assert_eq!((ledger.commit(b), ledger.commit(a)), (Some(7), None));
        assert_eq!((ledger.connection(b), ledger.connection(2)), (Some(3), None));
        assert_eq!(ledger.of(a), Known::Unanswered);
        assert_eq!(ledger.of(b), Known::Acknowledged("id".into()));
        assert_eq!(ledger.of(2), Known::Unknown);
        ledger.turn_away(a);
        assert_eq!((ledger.of(a), ledger.unanswered(), ledger.turned_away()), (Known::TurnedAway, 0, 1));
        assert_eq!((ledger.acknowledged(), ledger.latest(), ledger.latest()), (1, 0..2, 2..2));
    }
}
