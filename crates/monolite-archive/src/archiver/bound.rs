//! At the bound: what is done where commits can be kept nowhere any more, and when that is over.
//!
//! **Invariants**
//! - Writes are let in again as soon as there is room; what was dropped is a gap that a new base heals.
//! - A base copy begins only once the place has taken something.

use super::capture::Capture;
use super::config::AtBound;
use super::keeper::{Keeper, Part};
use super::pool::lock;
use super::status::State;
use crate::Result;
use monolite_store::Follower;
use std::sync::Arc;
use std::time::Duration;

impl Keeper {
    /// Whether the spool is at one of its bounds; does what the policy says.
    pub(super) fn at_bound(self: &Arc<Self>, c: &mut Capture) -> Result<bool> {
        let config = &self.inner.config;
        let (segments, bytes) = self.spool.size();
        let age = self.spool.first().map_or(0, |first| (config.now)().saturating_sub(first.created_ms));
        let over = bytes >= config.spool_bytes_max || age >= config.spool_age_max.as_millis() as i64 && segments > 0;
        if c.dropping || !over {
            self.let_writes_in(c);
            return Ok(false);
        }
        let why = format!("{bytes} bytes of commits wait in the spool, the oldest for {} s", age / 1000);
        match config.at_bound {
            AtBound::Refuse => {
                self.refuse_writes(c, &why);
                return Ok(true);
            }
            AtBound::Rebase => {
                self.spool.clear()?;
                self.drop_commits(c, &why);
            }
        }
        Ok(false)
    }

    /// While the archive's state is not known, the WAL is the spool.
    pub(super) fn unsettled_bound(&self, c: &mut Capture) {
        let config = &self.inner.config;
        let bytes = c.follower.as_ref().map_or(0, Follower::wal_bytes);
        if bytes < config.spool_bytes_max {
            self.let_writes_in(c);
        } else {
            self.refuse_writes(c, &format!("{bytes} bytes of commits wait in the WAL"));
        }
    }

    fn refuse_writes(&self, c: &mut Capture, why: &str) {
        if let Some(follower) = c.follower.as_ref().filter(|_| !c.refusing) {
            let text = format!(
                "nothing is written to {} while its archive cannot be reached and {why}; make {} reachable, or allow a gap in \
                 the archive (rebase)",
                self.service,
                self.history.place().describe()
            );
            follower.refuse_writes(Some(text));
        }
        c.refusing = true;
        self.state(State::Refusing);
    }

    fn let_writes_in(&self, c: &mut Capture) {
        if std::mem::take(&mut c.refusing) {
            if let Some(follower) = &c.follower {
                follower.refuse_writes(None);
            }
            let waits = self.spool.first().is_some();
            self.state(if !c.settled {
                State::Opening
            } else if waits {
                State::Spooling
            } else {
                State::Keeping
            });
        }
    }

    fn drop_commits(self: &Arc<Self>, c: &mut Capture, why: &str) {
        c.dropping = true;
        self.gap(c, &format!("{why}; they were dropped"));
        self.state(State::Dropping);
        self.after(Part::Upload, self.inner.config.retry.0);
    }

    /// The place answers again: what was dropped is a gap, and a base follows.
    pub(super) fn place_answers(self: &Arc<Self>) {
        let mut c = lock(&self.capture);
        if c.dropping && c.follower.is_some() {
            c.dropping = false;
            self.gap(&mut c, "commits were dropped while the place could not be reached");
        }
        self.state(State::Keeping);
        drop(c);
        self.after(Part::Capture, Duration::ZERO);
        // Upkeep that looked before the state changed made no base, and nobody else asks while nothing is written.
        self.after(Part::Upkeep, Duration::ZERO);
    }

    pub(super) fn is_dropping(&self) -> bool {
        self.notes().state == State::Dropping
    }
}
