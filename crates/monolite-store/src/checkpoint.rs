//! Checkpoints: copying the WAL into the database file, beside the writer.
//!
//! A checkpointer, a few threads that all stores of the process share, copies in PASSIVE rounds while the writer goes on, and
//! syncs the database file after each; the writer does the short last round between two groups and starts the WAL over.
//! The file is recycled, not truncated, since syncing overwritten frames costs half of appended ones.
//!
//! The WAL starts over only when no read uses it, and a read uses it unless all was copied when it began. So slow reads are
//! held back before the last round, until those under way have ended: that wait is the checkpointer's, beside the writer.
//! The writer itself outwaits the quick ones.
//!
//! Where rounds copy no faster than the writer writes, what is left does not shrink, and the last round would stop everybody for as
//! long as all of it takes. So the checkpoint *presses*: the writer rests after each group, in times of what the group worked, until
//! little is left.
//!
//! **Invariants**
//! - The success of a PASSIVE round is `frames == copied`, never SQLite's `busy`.
//! - Only the writer lets the WAL start over, between two groups.
//! - The writer rests only for frames that it writes itself, never for those that a reader keeps from being copied.
//! - Idle snapshots are ended before each round and each try to start over, and none is kept by a read that ends meanwhile,
//!   else the WAL never starts over.
//! - A sync of the database file that failed is never retried: the kernel may have dropped the pages and answer well
//!   the second time. The WAL is kept and the store only reads; the next open copies all of it again.
//! - No reader blocks this for good: past `wal_hard_bytes`, reads with an old snapshot are ended.

mod rounds;

pub(crate) use rounds::Rounds;

use crate::error::Error;
use crate::observe::CheckpointMode;
use crate::reply::lock;
use crate::sqlite::connection::{Connection, Role};
use crate::sqlite::raw::{self, Checkpoint, Copied};
use crate::store::Shared;
use crate::threads::{Started, work_behind};
use crate::ticket::Ticket;
use crate::write::writer::Writer;
use rusqlite::ffi;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Rounds beside the writer before the last one, at most.
const ROUNDS_MAX: usize = 16;
/// Frames that are left to the writer's own last round.
const LAST_ROUND_FRAMES: u64 = 128;
/// The most that the writer rests at once for rounds that do not catch up. Where the WAL is large all the same, groups are so
/// long, or rounds so slow, that such rests do not slow the writer down.
const REST_MAX: Duration = Duration::from_millis(20);
const REST_MAX_LARGE: Duration = Duration::from_millis(500);
/// How long the writer waits in its last round for quick reads that use the WAL, for each `wal_soft_bytes` in the WAL.
const PATIENCE: Duration = Duration::from_millis(2);
/// The most of those.
const PATIENCE_TIMES_MAX: u32 = 32;
/// How long the checkpointer waits for slow reads under way to end, before the last rounds.
const SLOW_READS_END: Duration = Duration::from_millis(150);
/// How long slow reads are held back in all, at most.
const HELD_BACK: Duration = Duration::from_millis(350);
/// How long the writer waits there for a follower, for each `wal_soft_bytes` in the WAL: some times what it takes to make
/// a few frames safe on a disk. Not at all for one that has released nothing since it was waited for in vain.
const FOLLOWER_PATIENCE: Duration = Duration::from_millis(20);
/// The most of those.
const FOLLOWER_TIMES_MAX: u32 = 16;
/// A WAL of so many `wal_soft_bytes` is large: it waits for its follower, and its writer for the rounds.
const LARGE: u64 = 4;
/// A read that runs for longer is not short, whatever was expected of it.
const SHORT_MAX: Duration = Duration::from_millis(20);
/// How long until the next look, where no read in the slow lane ended.
const LOOK_AGAIN: Duration = Duration::from_micros(100);

/// The writer's view of its WAL.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    next_frames: u64,
    /// Whether all of it was copied the last time.
    copied: bool,
    /// How far a follower was that was waited for in vain, and how often that was so since the WAL started over.
    in_vain: u64,
    times_in_vain: u32,
    /// The last try failed for the follower: it has not released all.
    waits_for_follower: bool,
}

impl Shared {
    /// A failed round: after a failed sync the WAL must be kept, anything else is tried again.
    fn checkpoint_failed(&self, error: &Error) {
        self.scrub.whole.store(false, Relaxed); // a page may be written in part
        *lock(&self.trouble) = Some(format!("a checkpoint failed: {error}"));
        let failed_disk = match error.sqlite() {
            Some(rusqlite::Error::SqliteFailure(e, _)) => e.extended_code & 0xFF == ffi::SQLITE_IOERR,
            _ => false,
        };
        if failed_disk {
            self.stop_writing("the disk failed in a checkpoint; nothing is lost, restart to copy the WAL again");
        }
    }
}

impl Writer {
    /// Called after each group.
    pub(crate) fn after_group(&mut self) {
        let frames = self.connection.wal_frames.load(Relaxed);
        let soft = self.shared.soft_frames();
        let rounds = &self.shared.rounds;
        if rounds.done.load(Relaxed) {
            self.finish_checkpoint();
        } else if frames >= self.wal.next_frames.max(soft) && !rounds.active.swap(true, Relaxed) {
            self.shared.following.urge();
            submit(self.shared.clone());
        }
        let is_too_large = frames * self.shared.frame_bytes() > self.shared.config.wal_hard_bytes;
        if is_too_large {
            self.shared.reads.slow.evict_before(self.sequence);
        }
        self.shared.cuts.look(is_too_large);
    }

    /// Rests after a group that worked so long, where rounds do not catch up with the writer; until they have, at most.
    pub(crate) fn give_way(&self, worked: Duration) {
        let press = self.press();
        if press > 0 {
            let began = Instant::now();
            self.shared.holding.set(&Ticket::label("checkpoint"), began);
            let longest = if self.is_behind() { REST_MAX_LARGE } else { REST_MAX };
            self.shared.queue.rest((worked * press).min(longest));
            self.shared.rested(began.elapsed());
        }
    }

    /// How long the writer is to rest after a group, in times of what that worked.
    pub(crate) fn press(&self) -> u32 {
        let rounds = &self.shared.rounds;
        let on = if self.is_behind() { rounds.press_on(self.connection.wal_frames.load(Relaxed)) } else { 0 };
        rounds.press.load(Relaxed).max(on)
    }

    /// Whether the WAL should have started over long ago, and would have without a follower.
    pub(crate) fn is_wal_large(&self) -> bool {
        self.wal.waits_for_follower && self.is_large(self.connection.wal_frames.load(Relaxed))
    }

    /// Whether the rounds are far behind. What is copied and cannot be started over yet does not count: no rest would help.
    fn is_behind(&self) -> bool {
        let copied = self.shared.rounds.copied.load(Relaxed);
        self.is_large(self.connection.wal_frames.load(Relaxed).saturating_sub(copied))
    }

    fn is_large(&self, frames: u64) -> bool {
        frames > self.shared.soft_frames().saturating_mul(LARGE)
    }

    /// The last round, between two groups.
    pub(crate) fn finish_checkpoint(&mut self) {
        if self.shared.rounds.done.swap(false, Relaxed) {
            self.shared.rounds.press.store(0, Relaxed);
            if self.refuse_replaced(true).is_ok() {
                self.shared.reads.slots.let_go(true);
                self.last_round();
                self.shared.reads.slots.let_go(false);
            }
            self.shared.reads.slow.let_go();
            self.shared.rounds.active.store(false, Relaxed);
        }
    }

    /// Copies what is left when the store closes, so that the file alone is whole. All reads have ended.
    pub(crate) fn last_checkpoint(&mut self) {
        if self.shared.read_only_error().is_none() && self.refuse_replaced(true).is_ok() {
            self.last_round();
            self.shared.copied_at_close.store(self.wal.copied, Relaxed);
        }
    }

    /// Copies the rest and starts the WAL over, waiting a little for the reads that still use it.
    fn last_round(&mut self) {
        if self.shared.read_only_error().is_some() {
            return;
        }
        let start = Instant::now();
        let frames = self.connection.wal_frames.load(Relaxed);
        let soft = self.shared.soft_frames();
        let (goes_on, released) = self.shared.following.goes_on_from(self.wal.in_vain);
        let times = u32::try_from(frames / soft.max(1)).unwrap_or(u32::MAX);
        // One that needs longer than that anyway is not waited for so long again and again.
        let longest = times.min(FOLLOWER_TIMES_MAX).checked_shr(self.wal.times_in_vain).unwrap_or(0).max(1);
        let mut follower = FOLLOWER_PATIENCE * if goes_on { longest } else { 0 };
        self.wal.copied = false;
        self.connection.watch.disarm();
        let mut waited = None; // since what there was is copied
        loop {
            self.shared.reads.slots.end_idle();
            match self.connection.privileged(|c| raw::checkpoint(c, Checkpoint::Restart)) {
                // Its follower has not released all of it yet: it was asked for that.
                Ok(now) if !now.done && now.is_all() && !follower.is_zero() => {
                    if !self.shared.following.wait_for(self.sequence, follower) {
                        self.wal.in_vain = released;
                        self.wal.times_in_vain += 1;
                    }
                    follower = Duration::ZERO;
                }
                Ok(now) if now.done || waited.get_or_insert_with(Instant::now).elapsed() > self.patience(times) => {
                    self.observe(now.frames, now.copied, start);
                    self.tried(&now, frames);
                    break;
                }
                // A read that began before all was copied uses the WAL until it ends; the next one will not.
                Ok(_) => self.shared.reads.slow.wait_for_an_end(LOOK_AGAIN),
                Err(error) => {
                    self.wal.next_frames = frames + soft / 4;
                    self.shared.file_is_torn(true);
                    self.shared.checkpoint_failed(&error.into());
                    break;
                }
            }
        }
    }

    /// What a last round came to, that began with so many frames in the WAL.
    fn tried(&mut self, now: &Copied, frames: u64) {
        let (shared, soft) = (&self.shared, self.shared.soft_frames());
        shared.mark_later(); // the file's time moved
        self.wal.copied = now.is_all();
        if now.begun {
            shared.rounds.copied.store(now.copied, Relaxed);
        }
        if self.wal.copied {
            shared.scrub.whole.store(true, Relaxed);
            shared.file_is_torn(false);
        }
        self.wal.waits_for_follower = !now.done && shared.following.is_behind(self.sequence);
        // Where a read is in the way, what the follower releases is no reason for another try.
        if now.done || (now.begun && !now.is_all()) {
            shared.following.calm();
        }
        shared.tell_who_keeps_the_wal(now);
        if now.done {
            self.wal.times_in_vain = 0;
            self.connection.wal_frames.store(0, Relaxed);
            shared.wal_frames.store(0, Relaxed);
            shared.rounds.started_over();
        }
        let left = if now.begun { now.frames } else { frames };
        self.wal.next_frames = if now.done { soft } else { left + left.max(soft) / 4 };
    }

    /// A slow read does not end so soon that waiting for it would be worth anything.
    fn patience(&self, times: u32) -> Duration {
        let slow = &self.shared.reads.slow;
        match slow.long() {
            0 if !slow.runs_since(SHORT_MAX) => PATIENCE * times.clamp(1, PATIENCE_TIMES_MAX),
            _ => Duration::ZERO,
        }
    }

    fn observe(&self, frames: u64, copied: u64, start: Instant) {
        if let Some(o) = &self.shared.config.observer {
            o.checkpointed(CheckpointMode::Between, frames, copied, start.elapsed());
        }
    }
}

/// Stores that are copied at once: one with slow rounds keeps no other one waiting, nor two or three.
const THREADS: usize = 4;

struct Checkpointer {
    stores: Mutex<VecDeque<Arc<Shared>>>,
    ready: Condvar,
}

/// Asks for a checkpoint, unless one is under way.
pub(crate) fn ask(shared: &Arc<Shared>) {
    if !shared.rounds.active.swap(true, Relaxed) {
        submit(shared.clone());
    }
}

/// Asks the checkpointer for rounds on a store. A store is in its queue at most once (`Rounds::active`).
fn submit(shared: Arc<Shared>) {
    shared.rounds.begin_round(shared.wal_frames.load(Relaxed)); // while all threads are busy, the wait counts as a round
    lock(&CHECKPOINTER.stores).push_back(shared);
    CHECKPOINTER.ready.notify_one();
}

static CHECKPOINTER: Checkpointer = Checkpointer { stores: Mutex::new(VecDeque::new()), ready: Condvar::new() };

/// Starts the checkpointer's threads.
pub(crate) fn start() -> std::io::Result<()> {
    static STARTED: [Started; THREADS] = [const { Started::new() }; THREADS];
    let mut numbered = (0..).zip(&STARTED);
    numbered.try_for_each(|(n, started)| started.start(&format!("checkpointer:{n}"), || serve(&CHECKPOINTER)))
}

fn serve(checkpointer: &'static Checkpointer) {
    work_behind(0);
    loop {
        let mut stores = lock(&checkpointer.stores);
        let shared = loop {
            match stores.pop_front() {
                Some(shared) => break shared,
                None => stores = checkpointer.ready.wait(stores).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(stores);
        match catch_unwind(AssertUnwindSafe(|| rounds(&shared))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => shared.checkpoint_failed(&error),
            Err(_) => *lock(&shared.trouble) = Some("a checkpoint panicked; the next one tries again".to_owned()),
        }
        shared.rounds.end_round(); // also after one that failed
        shared.rounds.done.store(true, Relaxed);
        shared.queue.errand();
    }
}

/// Rounds until little is left for the last one; again without slow reads where those kept frames from being copied. New
/// ones wait until the last round has ended.
fn rounds(shared: &Arc<Shared>) -> crate::Result<()> {
    let mut held = lock(&shared.rounds.connection);
    if shared.is_closed() || shared.read_only_error().is_some() {
        return Ok(());
    }
    if !matches!(shared.look_replaced(connection(shared, &mut held)?, true), Ok(None)) {
        return Ok(()); // the writer looks too, and says what it is
    }
    converge(shared, &mut held)?;
    let slow = &shared.reads.slow;
    let were_in_the_way = slow.long() > 0;
    if were_in_the_way {
        relieve(shared); // the writer has no part in that wait
    }
    if slow.hold_back(SLOW_READS_END, HELD_BACK) && were_in_the_way {
        converge(shared, &mut held)?;
    }
    Ok(())
}

/// The checkpointer's connection, opened anew after an error of the disk that the writer has settled.
fn connection<'c>(shared: &Shared, held: &'c mut Option<Connection>) -> crate::Result<&'c Connection> {
    if shared.rounds.renew.swap(false, Relaxed) {
        *held = None;
    }
    if held.is_none() {
        *held = Some(shared.opener.open_for_callers(Role::Checkpointer)?);
    }
    Ok(held.as_ref().expect("opened above"))
}

/// A writer that rests goes on.
fn relieve(shared: &Shared) {
    if shared.rounds.press.swap(0, Relaxed) > 0 {
        shared.queue.errand();
    }
}

/// PASSIVE rounds, each synced, until little is left, or until what readers hold back stops shrinking.
fn converge(shared: &Arc<Shared>, held: &mut Option<Connection>) -> crate::Result<()> {
    let mut left_before = u64::MAX;
    for _ in 0..ROUNDS_MAX {
        let start = Instant::now();
        shared.reads.slots.end_idle();
        let connection = connection(shared, held)?;
        let copied_before = shared.rounds.copied.load(Relaxed);
        shared.rounds.begin_round(shared.wal_frames.load(Relaxed));
        let round = connection.privileged(|c| raw::checkpoint(c, Checkpoint::Passive));
        let now = round.inspect_err(|_| shared.file_is_torn(true))?;
        raw::sync_database_file(connection.sqlite())?;
        shared.mark_later(); // the file's time moved
        if let Some(o) = &shared.config.observer {
            o.checkpointed(CheckpointMode::Beside, now.frames, now.copied, start.elapsed());
        }
        shared.rounds.end_round();
        if now.begun {
            shared.rounds.copied.store(now.copied, Relaxed);
        }
        let left = shared.wal_frames.load(Relaxed).saturating_sub(now.copied);
        if !now.begun || left < LAST_ROUND_FRAMES {
            break;
        }
        let goes_on = if now.is_all() {
            shared.rounds.press(now.copied.saturating_sub(copied_before), left)
        } else {
            relieve(shared); // a reader keeps it, not the writer
            left <= left_before / 10 * 9
        };
        if !goes_on {
            break;
        }
        left_before = left;
    }
    Ok(())
}
