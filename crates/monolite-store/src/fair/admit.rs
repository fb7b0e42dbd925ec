//! Who may come in: bounds for each tenant and for all.
//!
//! **Invariants**
//! - At most `max` pieces of work that somebody waits for, and of one tenant at most `tenant_max`; abandoned ones leave
//!   no more than as many husks again. Work that is given back was admitted before and is not counted again.
//! - A tenant never has more waiting than there are places left: however many fill the queue, the next one gets in. The
//!   system (tenant 0) alone may fill it.

use super::wheel::NOBODY;
use super::{Entry, Fair, Place, SPARE_MAX, SPARE_PLACES};
use crate::ticket::Tenant;
use std::collections::VecDeque;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) max: usize,
    pub(crate) tenant_max: usize,
}

/// Why work was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The tenant has its share waiting already; else the others have filled the queue.
    pub(crate) own_fault: bool,
}

impl<T> Fair<T> {
    /// Lets work in, or says whose bound was reached. Where husks take the room, `is_husk` finds them.
    pub(crate) fn push(
        &mut self,
        tenant: Tenant,
        bounds: Bounds,
        is_husk: impl Fn(&T) -> bool,
        work: T,
    ) -> Result<(), Refused> {
        if self.husks >= bounds.max as isize {
            self.sweep(&is_husk);
        }
        let room = bounds.max.saturating_sub(self.len());
        if let Some(at) = self.find(tenant) {
            self.admit(at, tenant, room, bounds, &is_husk)?;
            let entry = &mut self.entries[at as usize];
            self.busy += usize::from(entry.work.is_empty());
            entry.work.push_back(work);
            self.recent = at;
            match entry.place {
                Place::Held => {
                    self.held += 1;
                    return Ok(());
                }
                Place::Parked => self.append(at, Place::Slot(self.wheel.now())),
                _ => {}
            }
        } else {
            if room == 0 {
                return Err(Refused { own_fault: false });
            }
            let at = self.enter(tenant);
            self.entries[at as usize].work.push_back(work);
            self.busy += 1;
            self.recent = at;
        }
        self.len += 1;
        Ok(())
    }

    #[inline]
    fn admit(
        &mut self,
        at: u32,
        tenant: Tenant,
        room: usize,
        bounds: Bounds,
        is_husk: &impl Fn(&T) -> bool,
    ) -> Result<(), Refused> {
        let entry = &self.entries[at as usize];
        let own_max = if tenant.0 == 0 { bounds.max } else { bounds.tenant_max };
        if entry.husks > 0 && entry.work.len() >= own_max && entry.husks as usize >= entry.work.len() / 2 {
            self.sweep_entry(at, is_husk);
        }
        let own = self.entries[at as usize].awaited();
        let is_over = own >= own_max || (tenant.0 != 0 && own >= room);
        if room > 0 && !is_over {
            return Ok(());
        }
        let share = bounds.max / (self.busy + 1);
        Err(Refused { own_fault: tenant.0 != 0 && own > 0 && (own >= own_max || own >= share) })
    }

    /// Removes the husks of all.
    fn sweep(&mut self, is_husk: &impl Fn(&T) -> bool) {
        for at in 0..self.entries.len() {
            self.sweep_entry(at as u32, is_husk);
        }
    }

    fn sweep_entry(&mut self, at: u32, is_husk: &impl Fn(&T) -> bool) {
        let entry = &mut self.entries[at as usize];
        let before = entry.work.len();
        for _ in 0..before {
            let work = entry.work.pop_front().expect("as many as there were");
            if is_husk(&work) {
                self.swept.push(work);
            } else {
                entry.work.push_back(work);
            }
        }
        let waiting = if entry.place == Place::Held { &mut self.held } else { &mut self.len };
        *waiting -= before - entry.work.len();
        self.busy -= usize::from(before > 0 && entry.work.is_empty());
        self.husks -= std::mem::take(&mut entry.husks);
    }

    /// A new entry for a tenant, among the newcomers.
    pub(super) fn enter(&mut self, tenant: Tenant) -> u32 {
        let weight = if self.weights.is_empty() { 1 } else { self.weights.get(&tenant).copied().unwrap_or(1).max(1) };
        let quantum = self.quantum.saturating_mul(i64::from(weight));
        let at = match self.spare.pop() {
            Some(at) => at,
            None => {
                self.entries.push(Entry {
                    tenant: 0,
                    work: VecDeque::new(),
                    credit: 0,
                    quantum,
                    granted: 0,
                    in_turn: false,
                    batch: 0,
                    turns: 0,
                    husks: 0,
                    pins: 0,
                    place: Place::Nowhere,
                    before: NOBODY,
                    after: NOBODY,
                });
                (self.entries.len() - 1) as u32
            }
        };
        let entry = &mut self.entries[at as usize];
        (entry.tenant, entry.quantum, entry.credit, entry.in_turn) = (tenant.0, quantum, 0, false);
        entry.pins = 0;
        (entry.batch, entry.turns, entry.husks, entry.granted) = (0, 0, 0, 0);
        self.tenants.insert(tenant.0, at);
        self.append(at, Place::Fresh);
        at
    }

    /// Forgets a tenant without work.
    pub(super) fn leave(&mut self, at: u32) {
        self.unlink(at);
        let entry = &mut self.entries[at as usize];
        debug_assert!(entry.work.is_empty());
        self.husks -= std::mem::take(&mut entry.husks);
        if self.spare.len() >= SPARE_MAX || entry.work.capacity() > SPARE_PLACES {
            entry.work = VecDeque::new();
        }
        self.tenants.remove(&entry.tenant);
        self.spare.push(at);
    }
}
