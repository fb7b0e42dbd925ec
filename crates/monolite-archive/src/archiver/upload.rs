//! Upload: from the spool into the place, oldest first.
//!
//! **Invariants**
//! - A segment leaves the spool when the place has it and the history is seen to be still this one's; a gap in the place while they are on their way is impossible.

use super::capture::is_final;
use super::keeper::{Keeper, Part};
use super::pool::lock;
use super::status::State;
use crate::history::Segment;
use crate::same::is_same;
use crate::{Kind, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What is put to find out whether a place takes something; removed at once.
const PROBE: &str = "probe";

impl Keeper {
    /// Carries what waits to the place, until nothing is left or it fails.
    pub(super) fn upload(self: &Arc<Self>) {
        let mut carried = 0;
        let ended = loop {
            match self.carry() {
                Ok(true) => carried += 1,
                Ok(false) => break self.probe(),
                Err(e) => break Err(e),
            }
        };
        if carried > 0 {
            self.uploads_failed(false);
            self.after(Part::Capture, Duration::ZERO); // it may have waited for room
        }
        match ended {
            Ok(()) => self.end_waits(),
            Err(e) if is_final(&e) => self.stop(&mut lock(&self.capture), &e),
            Err(e) => {
                self.failed("carrying a segment", &e);
                if self.notes().state == State::Keeping {
                    self.state(State::Spooling);
                }
                let tries = self.uploads_failed(true);
                self.after(Part::Upload, self.backoff(tries));
                self.after(Part::Capture, Duration::ZERO); // the oldest may have come to the age where something is done
            }
        }
    }

    fn carry(self: &Arc<Self>) -> Result<bool> {
        let Some(first) = self.spool.first() else { return Ok(false) };
        self.take()?;
        let carried = self.spool.carry(&first, &self.plain).or_else(|e| match e.kind() {
            Kind::Exists | Kind::OutcomeUnknown => {
                let header = self.spool.history().header(&first)?;
                let mut same = |there: &Segment| is_same(self.spool.history(), &first, &self.plain, there);
                self.ours(&header, &mut same, e).map(|_| header)
            }
            _ => Err(e),
        });
        let header = match carried {
            Ok(header) => header,
            // Dropped meanwhile.
            Err(_) if self.spool.first() != Some(first) => return Ok(true),
            Err(e) => return Err(e),
        };
        self.still_ours()?;
        self.put(Segment { created_ms: header.at_ms, ..first });
        self.archived(header.last);
        self.spool.remove_first()?;
        Ok(true)
    }

    /// With nothing to carry: does the place take something, for those who wait for that? That it lists what it has says
    /// nothing: one that is full or read-only does, and each answer costs a new base.
    fn probe(self: &Arc<Self>) -> Result<()> {
        if self.is_dropping() {
            let (place, name) = (self.history.place(), self.history.name(PROBE));
            place.put(&name, b"does it take something?")?;
            place.delete(&name)?;
            self.place_answers();
        } else if self.notes().state == State::Spooling {
            self.state(State::Keeping);
        }
        Ok(())
    }

    /// Counts failed uploads in a row.
    pub(super) fn uploads_failed(&self, failed: bool) -> u32 {
        if failed {
            self.upload_tries.fetch_add(1, Ordering::Relaxed) + 1
        } else {
            self.upload_tries.swap(0, Ordering::Relaxed)
        }
    }
}
