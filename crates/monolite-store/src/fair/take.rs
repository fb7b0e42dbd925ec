//! Turns: taking a batch, and giving back what did not fit.
//!
//! **Invariants**
//! - A batch is bounded in pieces of work and in their expected time; one piece may exceed the time, alone.
//! - What a piece is expected to cost is asked when it is at the head of its queue, so that it is the latest known.
//! - In a batch a tenant has at most `turns` turns. The round goes on where the last batch stopped.
//! - Who is in debt comes into a batch early only where the batch stays short.
//! - Work that needs a batch of its own gets every second one while other work waits.

use super::wheel::{NOBODY, SLOTS};
use super::{Cost, DEBT_MAX, Fair, Place, Taken};
use crate::ticket::Tenant;
use std::collections::VecDeque;

/// Quanta that one turn may use up, of what was charged too much before.
const TURN_QUANTA: i64 = 2;

/// How large a batch may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Pieces of work.
    pub(crate) most: usize,
    /// Their expected time, in nanoseconds; a piece above it gets a batch of its own.
    pub(crate) run_ns: i64,
    /// Turns of one tenant.
    pub(crate) turns: u32,
    /// Up to this expected time a batch is filled with work of those in debt too: what its end takes is then shared by more.
    pub(crate) fill_ns: i64,
}

/// What is left of the limits.
struct Budget {
    left: usize,
    left_ns: i64,
}

/// What came of a turn.
#[derive(PartialEq, Eq)]
enum Turn {
    Passed,
    /// The batch is full, or has gone round.
    Stop,
}

impl<T> Fair<T> {
    /// Moves the next batch to a buffer, in the order in which it should run.
    pub(crate) fn take(&mut self, limits: Limits, expect: &impl Fn(Tenant, &T) -> Cost, into: &mut VecDeque<Taken<T>>) {
        self.batch += 1;
        self.batch_tenants = 0;
        if self.len == 0 {
            return;
        }
        if self.take_long(limits, expect, into) {
            return;
        }
        let mut budget = Budget { left: limits.most, left_ns: limits.run_ns };
        // Half a batch for newcomers; of batches of one, every second.
        let half = Budget { left: (limits.most + (self.batch % 2) as usize) / 2, left_ns: limits.run_ns / 2 };
        while self.fresh.first != NOBODY && budget.left > half.left && budget.left_ns > half.left_ns {
            if self.turn(self.fresh.first, limits, expect, &mut budget, into) == Turn::Stop {
                return;
            }
        }
        self.take_rounds(limits, expect, &mut budget, into);
        while self.fresh.first != NOBODY
            && self.turn(self.fresh.first, limits, expect, &mut budget, into) == Turn::Passed
        {}
        if into.is_empty() {
            // All that waits needs a batch of its own.
            self.was_long = false;
            if !self.take_long(limits, expect, into) {
                self.take_rounds(limits, expect, &mut budget, into); // it did; more is known now
            }
        }
    }

    /// Puts work that was taken last back to where it was; called from the last piece to the first.
    pub(crate) fn give_back(&mut self, taken: Taken<T>) {
        let at = self.find(taken.tenant).unwrap_or_else(|| self.enter(taken.tenant));
        let entry = &mut self.entries[at as usize];
        self.busy += usize::from(entry.work.is_empty());
        entry.credit = entry.credit.saturating_add(i64::from(taken.cost.charge_ns)).min(DEBT_MAX);
        entry.work.push_front(taken.work);
        self.len += 1;
        // Its turn is not over: it goes on with it, without the credit for rounds that it has not waited.
        if entry.in_turn || entry.credit > entry.granted {
            entry.credit -= std::mem::take(&mut entry.granted);
            entry.in_turn = true;
            let now = Place::Slot(self.wheel.now());
            self.unlink(at);
            self.prepend(at, now);
        }
    }

    /// Turns of those in the rounds. A batch that holds something goes on for as many rounds as it may have turns, then only
    /// while it is short: who is in debt waits for the rounds of the others, not for one batch of theirs.
    fn take_rounds(
        &mut self,
        limits: Limits,
        expect: &impl Fn(Tenant, &T) -> Cost,
        budget: &mut Budget,
        into: &mut VecDeque<Taken<T>>,
    ) {
        let mut rounds = u64::from(limits.turns);
        while self.len > 0 {
            let first = self.list(Place::Slot(self.wheel.now())).first;
            if first != NOBODY {
                if self.turn(first, limits, expect, budget, into) == Turn::Stop {
                    return;
                }
                continue;
            }
            let Some(ahead) = self.wheel.next() else { break };
            if !into.is_empty() {
                if ahead > rounds && !self.is_short(ahead, limits, expect, budget) {
                    break;
                }
                rounds = rounds.saturating_sub(ahead);
            }
            self.wheel.advance(ahead);
        }
    }

    /// Whether a batch stays short with the first work of the round that is so far ahead.
    fn is_short(&self, ahead: u64, limits: Limits, expect: &impl Fn(Tenant, &T) -> Cost, budget: &Budget) -> bool {
        let first = self.list(Place::Slot(self.wheel.ahead(ahead))).first;
        let Some(entry) = self.entries.get(first as usize) else { return false };
        let cost = entry.work.front().map_or(0, |work| i64::from(expect(Tenant(entry.tenant), work).run_ns));
        limits.run_ns - budget.left_ns + cost <= limits.fill_ns
    }

    /// One turn of the tenant at the head of its list.
    fn turn(
        &mut self,
        at: u32,
        limits: Limits,
        expect: &impl Fn(Tenant, &T) -> Cost,
        budget: &mut Budget,
        into: &mut VecDeque<Taken<T>>,
    ) -> Turn {
        #[cfg(test)]
        {
            self.looks += 1;
        }
        let batch = self.batch;
        let entry = &mut self.entries[at as usize];
        if entry.work.is_empty() && entry.batch == batch {
            return Turn::Stop; // what was taken of it may be given back yet
        }
        if !entry.in_turn {
            entry.credit = entry.credit.saturating_add(entry.quantum).min(DEBT_MAX);
            entry.granted = 0;
        }
        if entry.work.is_empty() && entry.pins > 0 {
            self.unlink(at);
            self.entries[at as usize].place = Place::Parked;
            return Turn::Passed;
        }
        if entry.work.is_empty() && entry.credit >= 0 {
            self.leave(at);
            return Turn::Passed;
        }
        if entry.work.is_empty() || entry.credit <= 0 {
            self.schedule(at);
            return Turn::Passed;
        }
        if entry.batch != batch {
            (entry.batch, entry.turns) = (batch, 0);
        }
        if entry.turns >= limits.turns || budget.left == 0 || budget.left_ns <= 0 {
            entry.in_turn = true;
            return Turn::Stop;
        }
        self.batch_tenants += usize::from(entry.turns == 0);
        entry.turns += 1;
        let mut spent = 0;
        while entry.credit > 0 && spent < TURN_QUANTA * entry.quantum {
            let tenant = Tenant(entry.tenant);
            let Some(cost) = entry.work.front().map(|work| expect(tenant, work)) else { break };
            if i64::from(cost.run_ns) > limits.run_ns {
                entry.in_turn = true;
                self.unlink(at);
                self.append(at, Place::Long);
                return Turn::Passed;
            }
            if budget.left == 0 || budget.left_ns <= 0 {
                entry.in_turn = true;
                return Turn::Stop;
            }
            let work = entry.work.pop_front().expect("looked at above");
            entry.credit -= i64::from(cost.charge_ns);
            spent += i64::from(cost.charge_ns);
            budget.left -= 1;
            budget.left_ns -= i64::from(cost.run_ns);
            self.len -= 1;
            into.push_back(Taken { tenant, cost, work });
        }
        self.busy -= usize::from(entry.work.is_empty());
        self.schedule(at);
        Turn::Passed
    }

    /// A batch of one piece that is too long to share, where it is its turn.
    fn take_long(
        &mut self,
        limits: Limits,
        expect: &impl Fn(Tenant, &T) -> Cost,
        into: &mut VecDeque<Taken<T>>,
    ) -> bool {
        if std::mem::replace(&mut self.was_long, false) {
            return false;
        }
        while self.long.first != NOBODY {
            let at = self.long.first;
            let entry = &mut self.entries[at as usize];
            let tenant = Tenant(entry.tenant);
            match entry.work.front().map(|work| expect(tenant, work)) {
                Some(cost) if i64::from(cost.run_ns) > limits.run_ns => {
                    let work = entry.work.pop_front().expect("looked at above");
                    entry.credit -= i64::from(cost.charge_ns);
                    self.busy -= usize::from(entry.work.is_empty());
                    self.len -= 1;
                    self.batch_tenants = 1;
                    into.push_back(Taken { tenant, cost, work });
                    self.schedule(at);
                    self.was_long = true;
                    return true;
                }
                // Its husk was swept, or more is known of it: back into the round.
                _ => {
                    let now = Place::Slot(self.wheel.now());
                    self.unlink(at);
                    self.append(at, now);
                }
            }
        }
        false
    }

    /// Puts an entry whose turn is over where its next one is: the next round, or later by its debt.
    fn schedule(&mut self, at: u32) {
        let entry = &mut self.entries[at as usize];
        entry.in_turn = false;
        if entry.work.is_empty() {
            entry.credit = entry.credit.min(0);
        }
        let rounds = rounds_of(entry.credit, entry.quantum);
        entry.granted = (rounds as i64 - 1) * entry.quantum;
        entry.credit += entry.granted;
        let place = Place::Slot(self.wheel.ahead(rounds));
        self.unlink(at);
        self.append(at, place);
    }

    /// Moves an entry to an earlier round, where it turned out to owe less than it was charged when it was put there.
    pub(super) fn hasten(&mut self, at: u32) {
        let entry = &mut self.entries[at as usize];
        let Place::Slot(slot) = entry.place else { return };
        let left = self.wheel.until(slot);
        if left <= 1 || entry.in_turn {
            return;
        }
        let not_waited = entry.granted.min((left as i64 - 1) * entry.quantum);
        let credit = entry.credit - not_waited;
        let rounds = rounds_of(credit, entry.quantum);
        if rounds >= left {
            return;
        }
        entry.granted = (rounds as i64 - 1) * entry.quantum;
        entry.credit = credit + entry.granted;
        let place = Place::Slot(self.wheel.ahead(rounds));
        self.unlink(at);
        self.append(at, place);
    }
}

/// How many rounds ahead somebody with this credit is: the next one, or later by the debt.
fn rounds_of(credit: i64, quantum: i64) -> u64 {
    let rounds = if credit > 0 { 1 } else { credit.unsigned_abs() / quantum as u64 + 1 };
    rounds.min(SLOTS - 1)
}
