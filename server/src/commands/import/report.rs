//! What an import says: progress, broken documents, the end, how to go on.

use super::batch::Failed;
use super::reading::Bad;
use super::split::Stopped;
use monolite::{Context, Progress, Result};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// Broken documents that are named; more are counted.
const NAMED_MAX: u64 = 20;

/// What happened so far.
pub(super) struct Report<'a> {
    context: &'a Context,
    bar: Option<Progress>,
    since: Instant,
    last: u64,
    created: u64,
    replaced: u64,
    refused: u64,
    end: End,
    /// The first document of which it is not known that it is in, and why.
    failed: Option<Failed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum End {
    Complete,
    Stopped,
    Interrupted,
}

impl<'a> Report<'a> {
    pub(super) fn new(context: &'a Context, bar: Option<Progress>) -> Self {
        let since = Instant::now();
        Report { context, bar, since, last: 0, created: 0, replaced: 0, refused: 0, end: End::Complete, failed: None }
    }

    /// A batch failed: the import ends.
    pub(super) fn failed(&mut self, failed: Failed) {
        match &mut self.failed {
            Some(before) => before.first = before.first.min(failed.first),
            None => self.failed = Some(failed),
        }
    }

    /// Whether a batch failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Documents from this one on were not sent after a failure.
    pub(super) fn not_in(&mut self, first: u64) {
        if let Some(failed) = &mut self.failed {
            failed.first = failed.first.min(first);
        }
    }

    /// A document was read; the input so far.
    pub(super) fn read(&mut self, number: u64, offset: u64) {
        self.last = number;
        if let Some(bar) = &self.bar {
            bar.at(offset);
            if number.is_multiple_of(100) {
                bar.doing(format!("{number} documents"));
            }
        }
    }

    /// Documents are in.
    pub(super) fn kept(&mut self, created: u64, replaced: u64) {
        self.created += created;
        self.replaced += replaced;
    }

    /// A document does not go in.
    pub(super) fn bad(&mut self, bad: &Bad) {
        self.last = self.last.max(bad.number);
        self.refused += 1;
        if self.refused <= NAMED_MAX {
            self.say(&format!(
                "document {} (line {}, byte {}) {}",
                bad.number, bad.place.line, bad.place.offset, bad.why
            ));
        }
    }

    /// The rest of the input cannot be read.
    pub(super) fn stopped(&mut self, stopped: &Stopped) {
        self.end = End::Stopped;
        self.say(&format!("stopped at line {}, byte {}: {}", stopped.place.line, stopped.place.offset, stopped.why));
    }

    /// Ctrl-C.
    pub(super) fn interrupted(&mut self) {
        self.end = End::Interrupted;
        self.say("interrupted: sending what was read");
    }

    /// Says how it ended; whether all is in.
    pub(super) fn finish(mut self, file: &Path, from: u64) -> Result<bool> {
        drop(self.bar.take());
        let kept = self.created + self.replaced;
        if self.refused > NAMED_MAX {
            self.context.note(format!("and {} more documents that did not go in", self.refused - NAMED_MAX));
        }
        let next = self.failed.as_ref().map_or(self.last.max(from.saturating_sub(1)) + 1, |failed| failed.first);
        if self.end == End::Interrupted || self.has_failed() {
            let file = if file.as_os_str() == "-" { "the same input".to_owned() } else { file.display().to_string() };
            let twice = if self.has_failed() { " (without --id some after it may come in twice)" } else { "" };
            self.context.note(format!("to go on: the same command on {file} with --from {next}{twice}"));
        }
        let seconds = self.since.elapsed().as_secs_f64();
        let out = self.context.output();
        if out.is_json() {
            out.json(&serde_json::json!({
                "created": self.created, "replaced": self.replaced, "refused": self.refused,
                "end": self.end, "next": next, "seconds": seconds,
            }))?;
        } else {
            let rate = kept as f64 / seconds.max(0.001);
            out.line(format!(
                "{kept} documents ({} new, {} replaced), {} refused, in {seconds:.1} s, {rate:.0} a second",
                self.created, self.replaced, self.refused
            ))?;
        }
        match self.failed {
            Some(failed) => Err(failed.why),
            None => Ok(self.refused == 0 && self.end == End::Complete),
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.note(text),
            None => monolite::note(text),
        }
    }
}
