//! Is all that is in a history sound, and does it lead on without a gap?
//!
//! Reads every segment once. Whether SQLite likes what they lead to, a restore finds out.
//!
//! **Invariants**
//! - One problem does not hide another: all segments are looked at.
//! - What retention left behind a commit that is kept for a cut or a restore is no gap: it was kept as long as it was promised. A
//!   segment ends at each commit that is kept, so a lost one begins there too: what is younger than the promise is a gap.
//!
//! Never here: repair.

use crate::cuts;
use crate::history::{History, Segment};
use crate::layout::history_root;
use crate::plan::{Plan, Target};
use crate::retain::is_pinned;
use crate::{Kind, Result, moment};
use std::fmt;
use std::ops::ControlFlow;

/// Bytes that are read at a time.
const RANGE: usize = 1 << 20;

/// Something that is wrong with a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A segment is not what was written.
    Damaged {
        /// Which.
        segment: Segment,
        /// What is wrong with it.
        text: String,
    },
    /// A segment is of a writer that another one overtook, on a copy of the file: restores pass it over.
    Foreign {
        /// Which.
        segment: Segment,
        /// Whose it is.
        text: String,
    },
    /// Commits are missing between two others.
    Gap {
        /// The first that is missing.
        first: u64,
        /// The last that is missing.
        last: u64,
        /// Whether a later base makes what follows restorable all the same.
        healed: bool,
    },
    /// A segment says that its last commit was before that of an earlier one: restores to a time are wrong here.
    BackInTime {
        /// Which.
        segment: Segment,
        /// What it says, in unix milliseconds.
        at_ms: i64,
        /// What an earlier one says.
        earlier_ms: i64,
    },
    /// The newest commit cannot be restored.
    NoWay {
        /// Why.
        text: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Damaged { segment, text } => write!(f, "{segment} is damaged: {text}"),
            Problem::Foreign { segment, text } => write!(f, "{segment} is passed over: {text}"),
            Problem::Gap { first, last, healed } => {
                let after =
                    if *healed { "; a later base leads on, and only moments between cannot be restored" } else { "" };
                write!(f, "commits {first} to {last} are missing{after}")
            }
            Problem::BackInTime { segment, at_ms, earlier_ms } => {
                write!(f, "{segment} is of {}, an earlier one of {}", moment::text(*at_ms), moment::text(*earlier_ms))
            }
            Problem::NoWay { text } => write!(f, "the newest commit cannot be restored: {text}"),
        }
    }
}

/// What a look at a history found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segments read.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Pages in them.
    pub pages: u64,
    /// The oldest commit that can be restored, 0 where none can.
    pub first: u64,
    /// The newest commit in the history, 0 where there is none.
    pub last: u64,
    /// Commits, first and last, that had their age: they follow one that is kept for a cut or a restore, and a later base, older
    /// than what is promised, leads on.
    pub forgotten: Vec<(u64, u64)>,
    /// All that is wrong.
    pub problems: Vec<Problem>,
}

/// Reads every segment of a history. Moments from `promised_ms` on are to be restorable; what is missing of earlier ones may have had
/// its age. `progress` hears the bytes read and the bytes there are, and may end it.
pub fn verify(
    history: &History,
    promised_ms: i64,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Verified> {
    let history = &history.in_line();
    let mut segments = history.segments()?;
    let whole = segments.iter().map(|s| s.bytes).sum();
    let mut verified = Verified::default();
    let mut sound = Vec::new();
    let mut ends = Vec::new();
    let mut foreign = Vec::new();
    for segment in &segments {
        let before = verified.bytes;
        match read(history, segment, &mut |done| progress(before + done, whole)) {
            Ok((pages, at_ms)) => {
                verified.pages += pages;
                sound.push(*segment);
                ends.push((*segment, at_ms));
            }
            Err(e) if e.kind() == Kind::Damaged => {
                let text = e.to_string();
                let text = text.strip_prefix(&format!("{segment}: ")).unwrap_or(&text).to_owned();
                verified.problems.push(Problem::Damaged { segment: *segment, text });
            }
            Err(e) if e.kind() == Kind::Foreign => {
                foreign.push(*segment);
                verified.problems.push(Problem::Foreign { segment: *segment, text: e.to_string() });
            }
            Err(e) if e.kind() == Kind::Missing => continue, // merged or too old meanwhile
            Err(e) => return Err(e),
        }
        verified.segments += 1;
        verified.bytes += segment.bytes;
    }
    segments.retain(|segment| !foreign.contains(segment));
    verified.last = segments.iter().map(|s| s.name.last).max().unwrap_or(0);
    verified.first = sound.iter().filter(|s| s.name.is_base()).map(|s| s.name.last).min().unwrap_or(0);
    let is_old = |(segment, at_ms): &&(Segment, i64)| segment.name.is_base() && *at_ms < promised_ms;
    let had_age = ends.iter().filter(is_old).map(|(segment, _)| segment.name.last).max().unwrap_or(0);
    verified.problems.extend(back_in_time(ends));
    for gap in gaps(&sound, verified.last) {
        match gap {
            Problem::Gap { first, last, healed: true } if last <= had_age && is_kept(history, first - 1)? => {
                verified.forgotten.push((first, last))
            }
            gap => verified.problems.push(gap),
        }
    }
    if verified.last > 0
        && let Err(e) = Plan::to(&sound, Target::Sequence(verified.last), |s| Ok(s.created_ms))
    {
        verified.problems.push(Problem::NoWay { text: e.to_string() });
    }
    Ok(verified)
}

/// Reads one segment to its end; answers its pages and its moment. `progress` hears the bytes of it that were read.
pub(crate) fn read(
    history: &History,
    segment: &Segment,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<(u64, i64)> {
    let stopped = || Err(crate::Error::new(Kind::Stopped, "the look at the archive was stopped"));
    let mut decoder = history.read(segment, RANGE)?;
    let mut told = 0;
    if progress(0).is_break() {
        return stopped();
    }
    while decoder.next()?.is_some() {
        if decoder.bytes() - told >= RANGE as u64 {
            told = decoder.bytes();
            if progress(told).is_break() {
                return stopped();
            }
        }
    }
    Ok((u64::from(decoder.pages()), decoder.header().at_ms))
}

/// Whether a restore, or a recorded cut, names this commit: retention keeps what leads to it, and nothing of what follows.
fn is_kept(history: &History, commit: u64) -> Result<bool> {
    if is_pinned(history, commit)? {
        return Ok(true);
    }
    for name in cuts::recorded(&**history.place())? {
        let cut = match cuts::read(&**history.place(), &name) {
            // Forgotten meanwhile; what is wrong with a cut is not what is looked for here.
            Err(e) if matches!(e.kind(), Kind::Missing | Kind::Damaged | Kind::Newer) => continue,
            other => other?,
        };
        let is_here = |service: &str, id: &str| history_root(service, id).is_ok_and(|root| root == history.root());
        if cut.services.iter().any(|(service, at)| at.sequence == commit && is_here(service, &at.history)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn back_in_time(mut ends: Vec<(Segment, i64)>) -> Vec<Problem> {
    ends.sort_by_key(|(segment, at_ms)| (segment.name.last, *at_ms));
    let mut latest = i64::MIN;
    let mut problems = Vec::new();
    for (segment, at_ms) in ends {
        if at_ms < latest {
            problems.push(Problem::BackInTime { segment, at_ms, earlier_ms: latest });
        }
        latest = latest.max(at_ms);
    }
    problems
}

/// Commits from the oldest base to the newest that no sound segment holds.
fn gaps(sound: &[Segment], last: u64) -> Vec<Problem> {
    let bases = || sound.iter().filter(|s| s.name.is_base()).map(|s| s.name.last);
    let Some(mut reached) = bases().min() else { return Vec::new() };
    let newest_base = bases().max().unwrap_or(0);
    let mut parts: Vec<_> = sound.iter().filter(|s| !s.name.is_base()).map(|s| s.name).collect();
    parts.sort_unstable();
    let mut problems = Vec::new();
    let mut gap = |from: u64, to: u64| problems.push(Problem::Gap { first: from, last: to, healed: newest_base >= to });
    for part in parts {
        if part.first > reached + 1 {
            gap(reached + 1, part.first - 1);
        }
        reached = reached.max(part.last);
    }
    if reached < last {
        gap(reached + 1, last);
    }
    problems
}
