//! Segments that cannot be used: what upkeep finds damaged, or not there any more, and what another writer left.
//!
//! **Invariants**
//! - Such a segment is told and counted once, and nothing waits for it: merges go around it, and where nothing else leads past
//!   it a new base does.
//! - A damaged one stays in the place, since a part of it may be worth something; the next start lists it again, and it goes with its age.
//! - One is missing only where the history's manifest is there: a folder that is not mounted has lost nothing.
//!
//! Never here: what is merged and when.

use super::keeper::Keeper;
use crate::history::Segment;
use crate::manifest::Manifest;
use crate::plan::{Plan, Target};
use crate::{Error, Kind, Result, verify};
use std::ops::ControlFlow;
use std::sync::Arc;

impl Keeper {
    /// Takes those out of the list of segments that cannot be read, after a merge of these failed; all of them where each one is
    /// sound, and they do not fit each other.
    ///
    /// # Errors
    /// What the merge said, where one seemed to be missing and all are there.
    pub(super) fn set_aside(self: &Arc<Self>, inputs: &[Segment], why: Error) -> Result<()> {
        let mut each = |_| if self.is_called_off() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let mut bad = Vec::new();
        for segment in inputs {
            match verify::read(&self.history, segment, &mut each) {
                Err(e) if e.kind() == Kind::Damaged => bad.push((*segment, e.to_string())),
                Err(e) if e.kind() == Kind::Missing && Manifest::read(&self.plain)?.is_some() => {
                    bad.push((*segment, format!("{e}: somebody has deleted it")));
                }
                other => drop(other?),
            }
        }
        if bad.is_empty() && why.kind() == Kind::Missing {
            return Err(why);
        }
        if bad.is_empty() {
            bad.extend(inputs.iter().map(|segment| (*segment, why.to_string())));
        }
        for (segment, why) in bad {
            self.set_one_aside(&segment, &why);
        }
        Ok(())
    }

    fn set_one_aside(self: &Arc<Self>, segment: &Segment, why: &str) {
        let why = format!("a segment of the archive cannot be used ({why}): {segment}");
        let at_ms = self.history.header(segment).map_or(segment.created_ms, |header| header.at_ms);
        let archived = self.waits.archived();
        let mut line = self.line();
        line.segments.retain(|s| s != segment);
        let leads_past = Plan::to(&line.segments, Target::Sequence(archived), |s| Ok(s.created_ms)).is_ok();
        if !leads_past {
            line.whole = false;
            if line.run < segment.name.last {
                line.run = segment.name.last;
                line.run_ms = line.run_ms.max(at_ms);
            }
        }
        drop(line);
        self.notes().gaps += 1;
        self.failed("merging", &Error::new(Kind::Damaged, why.clone()));
        if leads_past {
            self.tell(&format!(
                "{why}. What follows is not touched by that; what that segment held cannot be restored"
            ));
            return;
        }
        self.tell(&format!(
            "{why}. A new base is made, after which everything can be restored again; what that segment held is lost but for the \
             file's own state"
        ));
        self.base_wanted(&why);
    }

    /// Takes out what writers that were overtaken left among the segments: it is in nobody's history.
    pub(super) fn drop_foreign(self: &Arc<Self>) -> Result<()> {
        self.take()?; // from here on it is the own claim that says what is foreign
        let segments = self.line().segments.clone();
        for segment in segments {
            match self.history.header(&segment) {
                Err(e) if e.kind() == Kind::Foreign => {
                    self.still_ours()?;
                    self.tell(&format!("{e}. It is removed"));
                    self.history.delete(&segment)?;
                    self.line().segments.retain(|s| *s != segment);
                }
                Err(e) if e.kind() == Kind::Damaged => {} // whose it is cannot be said; merging finds it
                other => drop(other?),
            }
        }
        let segments = self.line().segments.clone();
        if let Err(why) = Plan::to(&segments, Target::Latest, |s| Ok(s.created_ms)) {
            self.line().whole = false;
            self.base_wanted(&why.to_string());
        }
        Ok(())
    }
}
