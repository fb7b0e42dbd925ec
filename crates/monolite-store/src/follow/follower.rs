//! The follower of a store: takes batches, releases them, hears of new commits.
//!
//! **Invariants**
//! - One for a store. It keeps neither the store nor its file's lock alive.
//! - It reads the WAL by a descriptor of its own, opened for each batch and closed with it; never the database file.
//! - A commit without a number, another program's, goes with the next commit that has one.

use super::batch::{Batch, Parts};
use super::frames::{Cursor, Reading};
use super::gap::{Gap, Missed, Why};
use super::gate::Released;
use super::gathered::{Commit, Gathered};
use super::pages::PageReader;
use super::row::row;
use crate::error::{Error, Kind, Result};
use crate::reply::lock;
use crate::sqlite::disk::WalFile;
use crate::store::Shared;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often a WAL that changes under the eyes is looked at again.
const LOOKS_MAX: usize = 3;

/// Frames that may be left for a release to ask for the WAL's start over.
const NEARLY_ALL: u64 = 1024;

/// What a store found when it opened its file, before the migrations that it ran then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The file's line of commits.
    pub history: [u8; 16],
    /// The last commit.
    pub sequence: u64,
    /// The writer epoch of the last commit; the store's own is greater.
    pub epoch: i64,
    /// Bytes of a page.
    pub page_size: u32,
}

/// Takes a store's commits in order.
pub struct Follower {
    shared: Arc<Shared>,
    /// Where it stands in the WAL, once it has looked.
    at: Option<Cursor>,
    /// The last commit that it took, or was told to begin after.
    last: Option<u64>,
    /// Pages in the file after that, where known.
    size: Option<u32>,
    /// What it took and has not released.
    taken: VecDeque<Released>,
}

/// What a look at the WAL came to.
enum Looked {
    Batch(Box<(Parts, Cursor)>),
    /// There is nothing sound where commits should be.
    Nothing,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>) -> Result<Follower> {
        if shared.is_closed() {
            return Err(shared.closed_error());
        }
        let following = &shared.following;
        if following.taken.swap(true, Ordering::AcqRel) {
            let text = format!("the store {} is followed already", shared.config.name);
            return Err(Error::new(Kind::Busy, text));
        }
        following.gate.hold();
        Ok(Follower { shared, at: None, last: None, size: None, taken: VecDeque::new() })
    }

    /// What the store found when it opened the file.
    pub fn found(&self) -> Found {
        self.shared.following.found
    }

    /// Which opening this is, of all stores that this process has opened: two followers of one opening answer the same.
    pub fn opening(&self) -> u64 {
        self.shared.following.opening
    }

    /// The last published commit.
    pub fn published(&self) -> u64 {
        self.shared.epoch.load(Ordering::Acquire)
    }

    /// The last commit that was released, by this follower or one before it; 0 where none was since the store was opened.
    pub fn released(&self) -> u64 {
        self.shared.following.gate.sequence()
    }

    /// How long ago a commit was made that was not released, or a little less: where nothing is known of it, that of one after it
    /// is answered.
    pub fn age(&self, sequence: u64) -> Duration {
        self.shared.following.moments.age(sequence, Instant::now())
    }

    /// The last commit that was taken.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// The batch after the one that begins here is the next; what is before it is skipped. `size`: pages in the file
    /// after it, where known, so that pages by which the file grew since are not missed.
    pub fn begin_after(&mut self, sequence: u64, size: Option<u32>) {
        self.at = None;
        self.last = Some(sequence);
        self.size = size;
        self.taken.clear();
        // No frame is released by that, but no one waits for these commits.
        self.shared.following.gate.release(Released { sequence, ..Released::default() });
    }

    /// The next commits up to `until`, or the last published one; about `bytes_max` bytes of frames where they are more
    /// commits than one. `None` where there is none.
    ///
    /// # Errors
    /// [`Missed::Gap`] where commits are missing; [`Missed::Store`] where the WAL could not be read.
    pub fn next(&mut self, until: Option<u64>, bytes_max: u64) -> Result<Option<Batch>, Missed> {
        if self.shared.standing.is_quarantined() {
            return Err(self.gap(None, Why::Replaced));
        }
        let published = self.published();
        let target = until.map_or(published, |until| until.min(published));
        if self.last.is_some_and(|last| last >= target) {
            return Ok(None);
        }
        if self.shared.following.ended.load(Ordering::Acquire) {
            return Err(self.shared.closed_error().into());
        }
        if !self.shared.is_in_place()? {
            return Err(self.gap(None, Why::Replaced));
        }
        for _ in 0..LOOKS_MAX {
            let Some(mut file) = WalFile::open(&self.shared.path, self.shared.config.vfs)? else { break };
            match self.look(&mut file, target, bytes_max)? {
                Looked::Batch(found) => {
                    let (parts, end) = *found;
                    self.last = Some(parts.last);
                    self.size = Some(parts.size);
                    self.taken.push_back(Released { salts: end.salts, frames: end.frames, sequence: parts.last });
                    let age = self.age(parts.last);
                    let batch = Batch::new(parts, &end, file, age);
                    self.at = Some(end);
                    return Ok(Some(batch));
                }
                Looked::Nothing => {}
            }
        }
        Err(self.gap(None, Why::Lost))
    }

    /// Releases what lies in the WAL up to the commit that it was told to begin after, which an earlier run left there and
    /// whose frames nobody has taken since. Once, as long as nothing was taken; answers whether it did. Only for a caller
    /// who knows that this commit is the one in the WAL.
    ///
    /// # Errors
    /// [`Missed::Store`] where the WAL could not be read.
    pub fn release_found(&mut self) -> Result<bool, Missed> {
        let Some(last) = self.last.filter(|_| self.at.is_none() && self.taken.is_empty()) else { return Ok(false) };
        if self.is_ended() || !self.shared.is_in_place()? {
            return Ok(false);
        }
        let Some(mut file) = WalFile::open(&self.shared.path, self.shared.config.vfs)? else { return Ok(false) };
        let Some(beginning) = Cursor::beginning(&mut file)? else { return Ok(false) };
        let mut reading = Reading::new(&mut file, beginning)?;
        let mut is_last = false;
        while let Some(frame) = reading.next()? {
            let row = row(frame.data, &self.shared.following.found.history);
            is_last |= row.is_some_and(|row| row.sequence == last);
            if frame.size != 0 && is_last {
                let end = reading.at.clone();
                let found = Released { salts: end.salts, frames: end.frames, sequence: last };
                self.shared.following.gate.release(found);
                self.at = Some(end);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// From here on the WAL up to this commit is not needed: it is safe elsewhere.
    pub fn release(&mut self, sequence: u64) {
        let mut released = None;
        while self.taken.front().is_some_and(|taken| taken.sequence <= sequence) {
            released = self.taken.pop_front();
        }
        let Some(released) = released else { return };
        self.shared.following.moments.forget(released.sequence);
        self.shared.following.gate.release(released);
        let left = self.shared.wal_frames.load(Ordering::Relaxed).saturating_sub(released.frames);
        if self.is_urgent() && left < NEARLY_ALL {
            crate::checkpoint::ask(&self.shared); // the WAL waited for this
        }
    }

    /// Arms the bell: the next commit rings it. Answers whether there are commits to take already.
    pub fn arm(&self) -> bool {
        self.shared.following.bell.arm();
        self.last.is_none_or(|last| last < self.published())
    }

    /// Waits until the bell has rung since it was armed; answers whether it did.
    pub fn wait(&self, most: Duration) -> bool {
        self.shared.following.bell.wait(most)
    }

    /// Calls this when the bell rings: at the first commit since it was armed, and whenever the store is in a hurry. On the
    /// writer's thread: it may only make a note.
    pub fn on_ring(&self, call: impl Fn() + Send + Sync + 'static) {
        self.shared.following.bell.on_ring(Some(Arc::new(call)));
    }

    /// Whether the WAL is due to start over, or the store ends: what is left should be taken and released now.
    pub fn is_urgent(&self) -> bool {
        self.shared.following.urgent.load(Ordering::Acquire)
    }

    /// The same, to be asked without the follower: by what hears the bell.
    pub fn urgency(&self) -> Urgency {
        Urgency(self.shared.clone())
    }

    /// Whether the store ends; it waits some seconds for its follower.
    pub fn is_closing(&self) -> bool {
        self.shared.following.closing.load(Ordering::Acquire)
    }

    /// Whether the store has ended: nothing can be taken any more.
    pub fn is_ended(&self) -> bool {
        self.shared.following.ended.load(Ordering::Acquire)
    }

    /// Bytes of frames in the WAL now.
    pub fn wal_bytes(&self) -> u64 {
        self.shared.wal_frames.load(Ordering::Relaxed) * self.shared.frame_bytes()
    }

    /// Follows no more, and keeps the WAL from nothing, also where `Config::followed` says so: for a follower that will
    /// never go on.
    pub fn let_go(self) {
        self.shared.following.gate.open();
    }

    /// From now on writes are refused with this text; `None` lets them in again.
    pub fn refuse_writes(&self, why: Option<String>) {
        let following = &self.shared.following;
        let refuses = why.is_some();
        *lock(&following.why) = why.unwrap_or_default();
        following.refuses.store(refuses, Ordering::Release);
    }

    /// From now on writes slow down, to the rate at which this follower releases them, where the oldest commit that it has not
    /// released is older than this: as little over it as that takes, and not for a follower that has released nothing for
    /// some seconds. Without this a follower that is slower than the writer is behind it by ever more, and so is the WAL.
    pub fn is_late_from(&self, age: Duration) {
        let ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX).max(1);
        self.shared.following.late_ms.store(ms, Ordering::Relaxed);
    }

    /// Commits from now on carry this writer epoch at least: a file that was restored goes on as another writer than all
    /// that its archive knows.
    pub fn write_as(&self, epoch: i64) {
        self.shared.following.epoch_least.fetch_max(epoch, Ordering::Relaxed);
    }

    /// Reads the store's pages, beside the following.
    pub fn reader(&self) -> PageReader {
        PageReader::new(self.shared.clone())
    }

    /// Looks for the next commits in the WAL.
    fn look(&mut self, file: &mut WalFile, target: u64, bytes_max: u64) -> Result<Looked, Missed> {
        let Some(beginning) = Cursor::beginning(file)? else { return Ok(Looked::Nothing) };
        let at = match &self.at {
            Some(at) if at.salts == beginning.salts => at.clone(),
            // Started over by another program: what it wrote without a number may have gone with the old frames.
            Some(at) if !self.shared.following.gate.let_go(at.salts, at.frames, beginning.salts) => {
                return Err(self.gap(None, Why::Lost));
            }
            _ => beginning,
        };
        let mut reading = Reading::new(file, at)?;
        let mut gathered = Gathered::after(self.last, self.size);
        let mut end = None;
        loop {
            let number = reading.at.frames as u32;
            let Some(frame) = reading.next()? else { break };
            gathered.frame(frame.page, number, row(frame.data, &self.shared.following.found.history));
            let size = frame.size;
            if size != 0 {
                match gathered.commit(size) {
                    Commit::Unnumbered => {}
                    Commit::Skipped => self.at = Some(reading.at.clone()),
                    Commit::Taken(sequence) => {
                        end = Some(reading.at.clone());
                        let bytes = gathered.frames() * reading.at.page as u64;
                        if sequence >= target || bytes >= bytes_max {
                            break;
                        }
                    }
                    Commit::Later(found) => return Err(self.gap(Some(found), Why::Begins)),
                }
            }
        }
        let batch = gathered.finish().zip(end);
        Ok(batch.map_or(Looked::Nothing, |batch| Looked::Batch(Box::new(batch))))
    }

    fn gap(&self, found: Option<u64>, why: Why) -> Missed {
        Missed::Gap(Gap { after: self.last, found, why })
    }
}

/// Whether a store is in a hurry for its follower.
#[derive(Clone)]
pub struct Urgency(Arc<Shared>);

impl Urgency {
    /// See [`Follower::is_urgent`].
    pub fn is_urgent(&self) -> bool {
        self.0.following.urgent.load(Ordering::Acquire)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let following = &self.shared.following;
        following.bell.on_ring(None);
        if !self.shared.config.followed {
            following.gate.open();
        }
        self.refuse_writes(None);
        following.late_ms.store(0, Ordering::Relaxed);
        following.taken.store(false, Ordering::Release);
    }
}
