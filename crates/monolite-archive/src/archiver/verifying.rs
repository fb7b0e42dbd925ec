//! Verifying: each store's archive is proven in its turn, beside all else and at a pace.
//!
//! **Invariants**
//! - One store at a time in the process, on a thread that gives way to all others.
//! - What was found survives a restart: it lies beside the store. Something wrong stays said until a later proof is sound.
//! - What kept a proof from being made is neither: it is said, and tried again sooner.

use super::keeper::{Keeper, Part};
use super::status::State;
use crate::history::Segment;
use crate::prove::{Compared, Proof, is_wrong};
use crate::restore::{Phase, Progress};
use crate::{Error, Kind, Result, beside, hex};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How soon it is tried again where something is wrong, or a proof could not be made.
const AGAIN: Duration = Duration::from_secs(3600);
/// Between two looks whether to stop, while it waits.
const LOOK: Duration = Duration::from_millis(250);
/// How long the commits that were made meanwhile may take to be archived.
const ARCHIVED_MAX: Duration = Duration::from_secs(600);
/// How often segments are looked for again that were merged before they were read.
const TRIES: usize = 5;
const NAME: &str = "proof.json";

/// What is known of an archive by proof.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The last sound proof.
    pub sound: Option<Sound>,
    /// What is wrong with the archive, since a later one found it.
    pub wrong: Option<Wrong>,
    /// Why the last try came to no end.
    pub hindered: Option<String>,
}

/// A proof that was sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sound {
    /// When it ended, in unix milliseconds.
    pub at_ms: i64,
    /// The commit that was restored.
    pub sequence: u64,
    /// The moment of that commit, in unix milliseconds.
    pub moment_ms: i64,
    /// Pages that were compared with the file.
    pub pages: u64,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    /// When it was found first, in unix milliseconds.
    pub since_ms: i64,
    /// What.
    pub text: String,
}

/// As it lies beside the store: of one history, since a file that was rewound or replaced has another.
#[derive(Serialize, Deserialize)]
struct Noted {
    history: String,
    #[serde(flatten)]
    known: Verification,
}

/// What an earlier process found of this history.
pub(super) fn remembered(scratch: &Path, history: &str) -> Verification {
    let noted = beside::read(scratch, NAME).and_then(|text| serde_json::from_str::<Noted>(&text).ok());
    noted.filter(|noted| noted.history == history).map(|noted| noted.known).unwrap_or_default()
}

impl Keeper {
    /// The first proof of this process.
    pub(super) fn verify_first(self: &Arc<Self>) {
        let config = &self.inner.config;
        if config.verify_every.is_zero() {
            return;
        }
        let first = config.verify_first.min(config.verify_every);
        let last_ms = self.notes().verification.sound.as_ref().map_or(0, |sound| sound.at_ms);
        let age = Duration::from_millis((config.now)().saturating_sub(last_ms).max(0).unsigned_abs());
        self.after(Part::Verify, first.max(config.verify_every.saturating_sub(age)));
    }

    /// One proof.
    pub(super) fn verify(self: &Arc<Self>) {
        let every = self.inner.config.verify_every;
        if matches!(self.notes().state, State::Ended | State::Stopped(_)) {
            return;
        }
        let proven = self.prove();
        if self.is_called_off() {
            self.proof_is_due();
            return; // what stopped it says nothing
        }
        let (now, mut known) = ((self.inner.config.now)(), self.notes().verification.clone());
        known.hindered = None;
        let next = match proven {
            Ok(sound) => {
                (known.sound, known.wrong) = (Some(Sound { at_ms: now, ..sound }), None);
                every
            }
            Err(e) if is_wrong(&e) && (e.kind() != Kind::Missing || self.misses_some()) => {
                let since_ms = known.wrong.as_ref().map_or(now, |wrong| wrong.since_ms);
                known.wrong = Some(Wrong { since_ms, text: e.to_string() });
                every.min(AGAIN)
            }
            Err(e) => {
                known.hindered = Some(e.to_string());
                every.min(AGAIN)
            }
        };
        let noted = Noted { history: hex(&self.found.history), known: known.clone() };
        let noted = serde_json::to_vec(&noted).expect("plain fields");
        if let Err(e) = beside::write(&self.scratch, NAME, &noted) {
            self.failed("noting a proof", &e);
        }
        let mut notes = self.notes();
        notes.proofs += 1;
        notes.verification = known.clone();
        drop(notes);
        if let Some(heard) = &self.inner.config.verified {
            heard(&self.service, &known);
        }
        self.after(Part::Verify, next);
    }

    /// Whether a segment that should be in the place is not: what a proof did not find may have been merged again and again,
    /// faster than it was read.
    fn misses_some(&self) -> bool {
        let listed = || self.line().segments.clone();
        let mut missed = listed();
        for _ in 0..TRIES {
            let Ok(there) = self.history.segments() else { return false };
            let still = listed();
            let has = |all: &[Segment], s: &Segment| all.iter().any(|a| (a.level, a.name) == (s.level, s.name));
            missed.retain(|segment| !has(&there, segment) && has(&still, segment));
        }
        !missed.is_empty()
    }

    fn prove(self: &Arc<Self>) -> Result<Sound> {
        if self.line().base.is_some() || self.waits.archived() == 0 {
            return Err(Error::new(Kind::Stopped, "a base is still to be made; before that nothing can be proven"));
        }
        let folder = self.scratch.join("verify");
        let began = Instant::now();
        let mut pace = Pace { keeper: self, folder: &folder, began, looked: began, full: None, passed: 0, told: 0 };
        let room = &self.inner.config.verify_room;
        let proof = Proof::of(&self.history, &folder, room, &mut |progress| pace.restoring(progress));
        // Room was taken by others: that ends it, not what it says to the restore.
        let proof = proof.map_err(|e| pace.full.take().unwrap_or(e))?;
        if let Some(segment) = proof.restored.avoided.first() {
            let text = format!("{segment} is damaged; the newest state was restored around it");
            return Err(Error::damaged(text));
        }
        let compared = proof.compare(&self.reader, &mut |bytes| pace.passed(bytes));
        let mut compared = compared.map_err(|e| pace.full.take().unwrap_or(e))?;
        if !compared.is_same() {
            self.settle_changed(&mut compared)?;
        }
        let restored = &proof.restored;
        match compared.complaint() {
            Some(text) => Err(Error::damaged(text)),
            None => {
                Ok(Sound { at_ms: 0, sequence: restored.sequence, moment_ms: restored.at_ms, pages: compared.pages })
            }
        }
    }

    /// Leaves the pages out that changed since, once what was seen is archived.
    fn settle_changed(self: &Arc<Self>, compared: &mut Compared) -> Result<()> {
        let until = Instant::now() + ARCHIVED_MAX;
        self.now(Part::Capture);
        while let Err(e) = self.waits.block(compared.seen, LOOK) {
            if self.is_called_off() || Instant::now() > until || e.kind() != Kind::Unreachable {
                return Err(Error::new(Kind::Stopped, format!("what changed meanwhile is not archived: {e}")));
            }
        }
        let mut tries = 0;
        loop {
            let changed = self.changed(compared.from, compared.seen)?;
            match compared.settle(&self.history, &changed) {
                Err(e) if e.kind() == Kind::Missing && tries < TRIES => tries += 1,
                other => return other,
            }
        }
    }

    /// Segments that hold all that changed after one commit up to another, and may be more.
    fn changed(&self, from: u64, to: u64) -> Result<Vec<Segment>> {
        let line = self.line();
        let (run, segments) = (line.run, line.segments.clone());
        drop(line);
        let mut reached = from;
        let mut changed = Vec::new();
        while reached < to && run <= from {
            let goes_on = |s: &&Segment| !s.name.is_base() && s.name.first <= reached + 1 && reached < s.name.last;
            let Some(next) = segments.iter().filter(goes_on).max_by_key(|s| s.name.first) else { break };
            changed.push(*next);
            reached = next.name.last;
        }
        if reached < to {
            let text = format!("commits after {from} were left out while it was proven");
            return Err(Error::new(Kind::Stopped, text));
        }
        Ok(changed)
    }
}

/// So many bytes a second, and an end when the archiver ends or the disk has no room any more.
struct Pace<'a> {
    keeper: &'a Keeper,
    folder: &'a Path,
    began: Instant,
    /// When the room was looked at.
    looked: Instant,
    /// That there was none.
    full: Option<Error>,
    passed: u64,
    /// Bytes of segments that a restore has told.
    told: u64,
}

impl Pace<'_> {
    fn restoring(&mut self, progress: Progress) -> ControlFlow<()> {
        let more = if progress.phase == Phase::Copying { progress.done.saturating_sub(self.told) } else { 0 };
        self.told = self.told.max(progress.done);
        self.passed(more)
    }

    fn passed(&mut self, bytes: u64) -> ControlFlow<()> {
        self.passed += bytes;
        let rate = self.keeper.inner.config.verify_bytes_per_second.max(1);
        let due = Duration::from_micros(
            u64::try_from(u128::from(self.passed) * 1_000_000 / u128::from(rate)).unwrap_or(u64::MAX),
        );
        loop {
            if self.keeper.is_called_off() || self.is_full() {
                return ControlFlow::Break(());
            }
            let left = due.saturating_sub(self.began.elapsed());
            if left.is_zero() {
                return ControlFlow::Continue(());
            }
            self.keeper.inner.ending.wait(left.min(LOOK));
        }
    }

    /// Whether what was restored takes room that others need: they have taken theirs meanwhile.
    fn is_full(&mut self) -> bool {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.full = self.keeper.inner.config.verify_room.look(self.folder, 0).err();
        }
        self.full.is_some()
    }
}
