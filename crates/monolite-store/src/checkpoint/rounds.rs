//! How far the rounds of a store's checkpoint are, and how long its writer rests for them: what the writer and the
//! checkpointer share.
//!
//! Never here: the rounds, the rests.

use crate::reply::lock;
use crate::sqlite::connection::Connection;
use std::sync::Mutex;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// Each round is to leave this part of what it copied to the next.
const CONVERGES_BY: u64 = 3;
/// The most that the writer rests, in times of what a group worked.
const PRESS_MAX: u32 = 64;

/// The state of a store's checkpoint, shared with the checkpointer.
#[derive(Default)]
pub(crate) struct Rounds {
    pub(super) active: AtomicBool,
    pub(super) done: AtomicBool,
    /// The connection must be opened anew: its descriptors have not yet told an error of the disk that was settled by
    /// the writer, and would tell it in the place of the next one.
    pub(super) renew: AtomicBool,
    /// How long the writer rests after each group, in times of what it worked.
    pub(super) press: AtomicU32,
    /// Of the round under way, or waited for: frames in the WAL at its beginning, and how many of them it may have to copy; 0
    /// between rounds.
    from: AtomicU64,
    copying: AtomicU64,
    /// Frames of the WAL that were copied, as far as rounds have told.
    pub(super) copied: AtomicU64,
    pub(crate) connection: Mutex<Option<Connection>>,
}

impl Rounds {
    pub(crate) fn close(&self) {
        *lock(&self.connection) = None;
    }

    /// A round copied all that there was, and so much was written meanwhile: has the writer rest so long that the next one
    /// leaves little enough, then twice as long, since a rest is bounded. Answers whether there is hope.
    pub(super) fn press(&self, copied: u64, written: u64) -> bool {
        let pressed = self.press.load(Relaxed);
        if written > copied / 2 {
            let harder = if pressed == 0 { ratio(copied, written) } else { (pressed * 2).min(PRESS_MAX) };
            self.press.store(harder, Relaxed);
        }
        written <= copied || pressed < PRESS_MAX
    }

    /// The same while a round is under way that copies less than was written since it began: it may take long yet.
    pub(super) fn press_on(&self, frames: u64) -> u32 {
        let copying = self.copying.load(Acquire);
        let written = frames.saturating_sub(self.from.load(Relaxed));
        if copying > 0 && written > copying { ratio(copying, written) } else { 0 }
    }

    /// A round begins, or is waited for, with so many frames in the WAL.
    pub(super) fn begin_round(&self, frames: u64) {
        self.from.store(frames, Relaxed);
        self.copying.store(frames.saturating_sub(self.copied.load(Relaxed)), Release);
    }

    pub(super) fn end_round(&self) {
        self.copying.store(0, Release);
    }

    /// The WAL was started over.
    pub(crate) fn started_over(&self) {
        self.copied.store(0, Relaxed);
    }

    /// Whether rounds are under way.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    /// An error of the disk was settled.
    pub(crate) fn renew(&self) {
        self.renew.store(true, Relaxed);
    }
}

/// How long the writer rests, in times of its work, so that a round as the last one leaves little enough.
fn ratio(copied: u64, written: u64) -> u32 {
    let times = (written * CONVERGES_BY).div_ceil(copied.max(1)).saturating_sub(1);
    u32::try_from(times).unwrap_or(PRESS_MAX).min(PRESS_MAX)
}
