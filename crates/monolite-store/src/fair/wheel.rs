//! The wheel of rounds: a list of entries for each of the next rounds, and the round in progress.
//!
//! **Invariants**
//! - An entry is at most `SLOTS - 1` rounds ahead, so that a slot holds the entries of one round only.
//! - Finding the next round that somebody is in costs a few instructions: a bit for each slot.

/// The end of a list.
pub(super) const NOBODY: u32 = u32::MAX;
/// Rounds in the wheel.
pub(super) const SLOTS: u64 = 64;

/// A list through the entries, by their places in the slab.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    pub(super) first: u32,
    pub(super) last: u32,
}

impl List {
    pub(super) const EMPTY: List = List { first: NOBODY, last: NOBODY };
}

pub(super) struct Wheel {
    lists: [List; SLOTS as usize],
    occupied: u64,
    round: u64,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Wheel { lists: [List::EMPTY; SLOTS as usize], occupied: 0, round: 0 }
    }

    /// The slot of the round in progress.
    pub(super) fn now(&self) -> u8 {
        self.ahead(0)
    }

    /// The slot of a later round.
    pub(super) fn ahead(&self, rounds: u64) -> u8 {
        debug_assert!(rounds < SLOTS);
        ((self.round + rounds) % SLOTS) as u8
    }

    /// How many rounds ahead a slot is.
    pub(super) fn until(&self, slot: u8) -> u64 {
        (u64::from(slot) + SLOTS - self.round % SLOTS) % SLOTS
    }

    /// How many rounds ahead the next one is that somebody is in.
    pub(super) fn next(&self) -> Option<u64> {
        let ahead = self.occupied.rotate_right(u32::from(self.ahead(1))).trailing_zeros();
        (ahead < u64::BITS).then(|| u64::from(ahead) + 1)
    }

    /// Goes on by so many rounds.
    pub(super) fn advance(&mut self, rounds: u64) {
        self.round += rounds;
    }

    pub(super) fn list(&self, slot: u8) -> List {
        self.lists[usize::from(slot)]
    }

    pub(super) fn set_list(&mut self, slot: u8, list: List) {
        self.lists[usize::from(slot)] = list;
        let bit = 1 << slot;
        if list.first == NOBODY {
            self.occupied &= !bit;
        } else {
            self.occupied |= bit;
        }
    }
}
