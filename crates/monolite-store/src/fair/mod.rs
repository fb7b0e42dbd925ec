//! Who is next: deficit round robin over tenants, charged by time, for the writer's queue and for the slow lane.
//!
//! In each round a tenant that has work gets a *quantum* of credit for its weight, and its work is taken while it has
//! credit. Work is charged by an estimate when it is taken, and corrected by `settle` when it ran, so credit may become
//! debt, and debt go; a tenant in debt waits as many rounds as paying takes. Rounds without anybody are skipped: nobody waits for
//! nothing. Tenants sit in a wheel of rounds (`wheel.rs`), so that neither debt nor their number costs a search.
//!
//! **Invariants**
//! - The work of one tenant is taken in the order it came, also after `give_back`.
//! - Each operation takes a constant time, but for debts above a whole wheel, which are looked at once a turn of it.
//! - A tenant without work keeps its entry until its next round, longer only while in debt; then it leaves, and takes
//!   no credit along. Who leaves and comes back gains nothing.
//! - Newcomers are first, with at most half of a batch while others wait, so neither side starves.
//!
//! Never here: threads, clocks, locks, what the work is.

mod admit;
mod take;
#[cfg(test)]
mod tests;
mod wheel;

pub(crate) use admit::{Bounds, Refused};
pub(crate) use take::Limits;

use crate::ticket::Tenant;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;
use wheel::{List, NOBODY, Wheel};

/// Debt beyond this is forgiven.
const DEBT_MAX: i64 = 1_000_000_000;
/// A smaller quantum would make many rounds of each piece of work.
const QUANTUM_MIN: i64 = 1_000;
/// Queues of absent tenants that are kept for the next one.
const SPARE_MAX: usize = 64;
/// Places in a queue that is kept.
const SPARE_PLACES: usize = 64;

/// What a piece of work is expected to cost, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cost {
    /// Of the time that a batch is bounded in.
    pub(crate) run_ns: u32,
    /// Of its tenant's credit.
    pub(crate) charge_ns: u32,
}

/// A piece of work that was taken, with what it is expected to cost: to settle it, or to give it back.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) tenant: Tenant,
    pub(crate) cost: Cost,
    pub(crate) work: T,
}

/// What waits, by tenant.
pub(crate) struct Fair<T> {
    tenants: HashMap<u64, u32, Seed>,
    entries: Vec<Entry<T>>,
    spare: Vec<u32>,
    /// The entry of the last push: most often that of the next.
    recent: u32,
    wheel: Wheel,
    fresh: List,
    /// Tenants whose next work gets a batch of its own.
    long: List,
    was_long: bool,
    batch: u64,
    batch_tenants: usize,
    len: usize,
    /// What waits of tenants that are held.
    held: usize,
    busy: usize,
    husks: isize,
    /// Husks that were swept and are not taken away yet: dropping them is not for whoever holds a lock.
    swept: Vec<T>,
    quantum: i64,
    weights: HashMap<Tenant, u32>,
    /// Looks at entries, for the test of their number.
    #[cfg(test)]
    looks: u64,
}

/// A tenant that waits, has had its turn in this round, or is in debt.
struct Entry<T> {
    tenant: u64,
    work: VecDeque<T>,
    /// Nanoseconds; negative is debt.
    credit: i64,
    /// Credit of one round.
    quantum: i64,
    /// Credit for the rounds that it is ahead of.
    granted: i64,
    /// Its turn was cut short: the credit of this round is there already.
    in_turn: bool,
    batch: u64,
    turns: u32,
    husks: isize,
    /// Pieces of its work that were taken and are not settled, where somebody counts them.
    pins: usize,
    place: Place,
    before: u32,
    after: u32,
}

impl<T> Entry<T> {
    /// Pieces of its work that somebody waits for.
    fn awaited(&self) -> usize {
        usize::try_from(self.work.len() as isize - self.husks).unwrap_or(0)
    }
}

/// The list that an entry is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    /// In no list until one of its pieces ends.
    Held,
    /// In no list until work of its comes, or the last of its pieces ends: in the rounds it would be passed for ever.
    Parked,
    Fresh,
    Long,
    Slot(u8),
}

impl<T> Fair<T> {
    pub(crate) fn new(quantum: Duration, weights: HashMap<Tenant, u32>) -> Self {
        Fair {
            tenants: HashMap::with_hasher(Seed::new()),
            entries: Vec::new(),
            spare: Vec::new(),
            recent: NOBODY,
            wheel: Wheel::new(),
            fresh: List::EMPTY,
            long: List::EMPTY,
            was_long: false,
            batch: 0,
            batch_tenants: 0,
            len: 0,
            held: 0,
            busy: 0,
            husks: 0,
            swept: Vec::new(),
            quantum: i64::try_from(quantum.as_nanos()).unwrap_or(DEBT_MAX).clamp(QUANTUM_MIN, DEBT_MAX),
            weights,
            #[cfg(test)]
            looks: 0,
        }
    }

    /// Pieces of work that wait and that somebody waits for.
    pub(crate) fn len(&self) -> usize {
        usize::try_from((self.len + self.held) as isize - self.husks).unwrap_or(0)
    }

    /// Whether there is nothing to take, not even a husk.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tenants whose work waits.
    pub(crate) fn tenants(&self) -> usize {
        self.busy
    }

    /// Tenants in the last batch.
    pub(crate) fn batch_tenants(&self) -> usize {
        self.batch_tenants
    }

    /// Each tenant that waits, its pieces of work, the first of them.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (Tenant, usize, &T)> {
        self.entries.iter().filter_map(|e| {
            let first = e.work.front()?;
            Some((Tenant(e.tenant), e.awaited(), first))
        })
    }

    /// Pieces of a tenant's work that wait and that somebody waits for.
    pub(crate) fn waiting_of(&self, tenant: Tenant) -> usize {
        self.find(tenant).map_or(0, |at| self.entries[at as usize].awaited())
    }

    /// What a piece of work cost in the end.
    pub(crate) fn settle(&mut self, tenant: Tenant, cost: Cost, charge_ns: u64) {
        if let Some(at) = self.find(tenant) {
            let entry = &mut self.entries[at as usize];
            let more = i64::try_from(charge_ns).unwrap_or(DEBT_MAX).min(DEBT_MAX) - i64::from(cost.charge_ns);
            entry.credit = (entry.credit - more).max(-DEBT_MAX);
            if more < 0 {
                self.hasten(at);
            }
        }
    }

    /// Nobody waits any more for one of a tenant's pieces of work (1), or such a piece was taken (-1).
    pub(crate) fn husk(&mut self, tenant: Tenant, change: isize) {
        if let Some(at) = self.find(tenant) {
            self.entries[at as usize].husks += change;
            self.husks += change;
        }
    }

    /// Takes away what was swept.
    pub(crate) fn swept(&mut self) -> Vec<T> {
        std::mem::take(&mut self.swept)
    }

    /// A piece of a tenant's work began. With `most` of them under way, no more of it is taken until one ends.
    pub(crate) fn pin(&mut self, tenant: Tenant, most: usize) {
        let Some(at) = self.find(tenant) else { return };
        self.entries[at as usize].pins += 1;
        if self.entries[at as usize].pins >= most && self.entries[at as usize].place != Place::Held {
            self.unlink(at);
            let entry = &mut self.entries[at as usize];
            entry.place = Place::Held;
            self.len -= entry.work.len();
            self.held += entry.work.len();
        }
    }

    /// A piece of a tenant's work ended.
    pub(crate) fn unpin(&mut self, tenant: Tenant) {
        let Some(at) = self.find(tenant) else { return };
        let entry = &mut self.entries[at as usize];
        entry.pins = entry.pins.saturating_sub(1);
        if entry.place == Place::Held || (entry.place == Place::Parked && entry.pins == 0) {
            if entry.place == Place::Held {
                self.len += entry.work.len();
                self.held -= entry.work.len();
            }
            entry.place = Place::Nowhere;
            entry.credit -= std::mem::take(&mut entry.granted);
            let now = Place::Slot(self.wheel.now());
            self.append(at, now);
        }
    }

    /// Takes everything.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        let mut all = Vec::with_capacity(self.len);
        for entry in &mut self.entries {
            all.extend(entry.work.drain(..));
        }
        (self.len, self.held, self.busy) = (0, 0, 0);
        self.rest();
        all
    }

    /// Forgets all tenants and their debts, where nothing waits: time that nobody wanted has paid them. What is under way is
    /// remembered.
    pub(crate) fn rest(&mut self) {
        debug_assert!(self.len == 0 || self.entries.iter().all(|e| e.work.is_empty()));
        if self.entries.len() > SPARE_MAX {
            let (weights, swept) = (std::mem::take(&mut self.weights), self.swept());
            let busy: Vec<_> =
                self.entries.iter().filter(|e| e.pins > 0).map(|e| (e.tenant, e.pins, e.place)).collect();
            *self = Fair { quantum: self.quantum, batch: self.batch, swept, ..Fair::new(Duration::ZERO, weights) };
            for (tenant, pins, place) in busy {
                let at = self.enter(Tenant(tenant));
                self.unlink(at);
                let entry = &mut self.entries[at as usize];
                (entry.pins, entry.place) = (pins, if place == Place::Held { place } else { Place::Parked });
            }
            return;
        }
        for at in 0..self.entries.len() {
            let entry = &mut self.entries[at];
            if entry.pins > 0 {
                (entry.credit, entry.granted) = (0, 0);
            } else if entry.place != Place::Nowhere {
                self.leave(at as u32);
            }
        }
    }

    /// Where nothing waits: whether more tenants are remembered than is worth their memory.
    pub(crate) fn is_bloated(&self) -> bool {
        self.len + self.held == 0 && self.entries.len() > SPARE_MAX
    }

    #[inline]
    fn find(&self, tenant: Tenant) -> Option<u32> {
        match self.entries.get(self.recent as usize) {
            Some(e) if e.tenant == tenant.0 && e.place != Place::Nowhere => Some(self.recent),
            _ => self.tenants.get(&tenant.0).copied(),
        }
    }

    /// Puts an entry at the end of a list.
    fn append(&mut self, at: u32, place: Place) {
        let mut list = self.list(place);
        self.entries[at as usize].place = place;
        self.entries[at as usize].before = list.last;
        self.entries[at as usize].after = NOBODY;
        match list.last {
            NOBODY => list.first = at,
            last => self.entries[last as usize].after = at,
        }
        list.last = at;
        self.set_list(place, list);
    }

    /// Puts an entry at the head of a list.
    fn prepend(&mut self, at: u32, place: Place) {
        let mut list = self.list(place);
        self.entries[at as usize].place = place;
        self.entries[at as usize].before = NOBODY;
        self.entries[at as usize].after = list.first;
        match list.first {
            NOBODY => list.last = at,
            first => self.entries[first as usize].before = at,
        }
        list.first = at;
        self.set_list(place, list);
    }

    /// Takes an entry out of its list.
    fn unlink(&mut self, at: u32) {
        let Entry { place, before, after, .. } = self.entries[at as usize];
        if matches!(place, Place::Nowhere | Place::Held | Place::Parked) {
            self.entries[at as usize].place = Place::Nowhere;
            return;
        }
        let mut list = self.list(place);
        match before {
            NOBODY => list.first = after,
            before => self.entries[before as usize].after = after,
        }
        match after {
            NOBODY => list.last = before,
            after => self.entries[after as usize].before = before,
        }
        self.entries[at as usize].place = Place::Nowhere;
        self.set_list(place, list);
    }

    fn list(&self, place: Place) -> List {
        match place {
            Place::Nowhere | Place::Held | Place::Parked => List::EMPTY,
            Place::Fresh => self.fresh,
            Place::Long => self.long,
            Place::Slot(slot) => self.wheel.list(slot),
        }
    }

    fn set_list(&mut self, place: Place, list: List) {
        match place {
            Place::Nowhere | Place::Held | Place::Parked => {}
            Place::Fresh => self.fresh = list,
            Place::Long => self.long = list,
            Place::Slot(slot) => self.wheel.set_list(slot, list),
        }
    }
}

/// Hashes tenants' numbers by one multiplication, from a random start: who can choose numbers cannot choose collisions.
#[derive(Clone, Copy)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new() -> Self {
        Seed(RandomState::new().hash_one(0_u8))
    }
}

impl BuildHasher for Seed {
    type Hasher = Mixed;
    fn build_hasher(&self) -> Mixed {
        Mixed(self.0)
    }
}

pub(crate) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u64(u64::from(*b)));
    }
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}
