//! Plans of what lies in a place now: along one line of writers, and again where a segment went away meanwhile.
//!
//! **Invariants**
//! - The end of a plan is of the writer that the claims say. Of the segments before it those that are not are passed over when they
//!   are read.
//! - The newest commit is known also where nothing leads to it: a gap before it is told, never passed over.
//!
//! Never here: which segments lead where (`plan`).

use crate::history::{History, Segment};
use crate::plan::{Plan, Target};
use crate::state::Tip;
use crate::{Error, Kind, Result};

/// How often a plan is made again because a segment went away meanwhile: it was merged into others, or had its age.
const REPLANS_MAX: usize = 5;

/// Makes a plan for a target of a history as it is now. Segments of writers that were overtaken are passed over.
pub fn plan(history: &History, target: Target) -> Result<Plan> {
    let history = history.in_line();
    retry_if_gone(|| plan_now(&history, target, &[]))
}

/// The same, and the newest commit there is, whether anything leads to that or not: both of one look at what lies in the place.
pub fn plan_beside_newest(history: &History, target: Target) -> Result<(Plan, Newest)> {
    let history = history.in_line();
    retry_if_gone(|| {
        let mut segments = history.segments()?;
        let planned = plan_of(&history, target, &mut segments)?;
        let no_way = plan_of(&history, Target::Latest, &mut segments).err().map(|e| e.to_string());
        let newest = newest_in_line(&history, &mut segments)?.tip;
        let newest = newest.ok_or_else(|| Error::new(Kind::Missing, "nothing is archived in this history"))?;
        Ok((planned, Newest { sequence: newest.sequence, at_ms: newest.at_ms, no_way }))
    })
}

/// The newest commit of a history and its moment, in unix milliseconds; none where nothing is archived. Whether it can be restored
/// is not asked.
pub fn newest(history: &History) -> Result<Option<(u64, i64)>> {
    let found = retry_if_gone(|| newest_in_line(history, &mut history.segments()?))?;
    Ok(found.tip.map(|tip| (tip.sequence, tip.at_ms)))
}

/// The newest commit of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Its number.
    pub sequence: u64,
    /// Its moment, in unix milliseconds.
    pub at_ms: i64,
    /// Why it cannot be restored, where it cannot.
    pub no_way: Option<String>,
}

/// The end of a history, as it was found.
#[derive(Debug, Default)]
pub(crate) struct End {
    /// The newest commit that is on the line of its writers.
    pub(crate) tip: Option<Tip>,
    /// What is newer and is not; taken out.
    pub(crate) foreign: Vec<Segment>,
    /// The newest segment and what is wrong with it, where its header cannot be read; taken out. Its name says the newest commit.
    pub(crate) damaged: Option<(Segment, String)>,
}

/// Looks for the newest commit in the place that is on the line of its writers.
pub(crate) fn newest_in_line(history: &History, segments: &mut Vec<Segment>) -> Result<End> {
    let (history, mut end) = (history.in_line(), End::default());
    while let Some(newest) = segments.iter().max_by_key(|s| (s.name.last, s.level)).copied() {
        match history.header(&newest) {
            Err(e) if e.kind() == Kind::Foreign => {
                segments.retain(|s| *s != newest);
                end.foreign.push(newest);
            }
            // Another one may say the same.
            Err(e) if e.kind() == Kind::Damaged && end.damaged.is_none() => {
                segments.retain(|s| *s != newest);
                end.damaged = Some((newest, e.to_string()));
            }
            Err(e) if e.kind() == Kind::Damaged => break,
            other => {
                end.tip = Some(other?.into());
                break;
            }
        }
    }
    if let Some((segment, _)) = &end.damaged {
        let (sequence, at_ms) = (segment.name.last, segment.created_ms);
        if end.tip.is_none_or(|tip| tip.sequence < sequence) {
            end.tip = Some(Tip { sequence, pages: None, at_ms, epoch: None });
        } else {
            end.damaged = None; // what it held is there in another one
        }
    }
    Ok(end)
}

/// `but`: segments that are not to be used.
pub(crate) fn plan_now(history: &History, target: Target, but: &[Segment]) -> Result<Plan> {
    let mut segments = history.segments()?;
    segments.retain(|segment| !but.contains(segment));
    plan_of(history, target, &mut segments)
}

/// Plans along one line of writers: segments that turn out to be another one's are taken out.
fn plan_of(history: &History, target: Target, segments: &mut Vec<Segment>) -> Result<Plan> {
    loop {
        let mut foreign = Vec::new();
        let mut at_ms = |segment: &Segment| match history.header(segment) {
            Err(e) if e.kind() == Kind::Foreign => {
                foreign.push(*segment);
                Ok(segment.created_ms) // whatever it is: it is planned again without this one
            }
            other => Ok(other?.at_ms),
        };
        let planned = Plan::to(segments, target, &mut at_ms);
        // The one that says where the plan ends; the others are looked at when they are read, and then there may be another way.
        if let Some(last) = planned.as_ref().ok().and_then(|plan| plan.segments().last()) {
            match at_ms(last) {
                // That it is damaged, or gone by then, shows when it is read too.
                Err(e) if matches!(e.kind(), Kind::Damaged | Kind::Missing) => {}
                other => drop(other?),
            }
        }
        if foreign.is_empty() {
            return planned;
        }
        segments.retain(|segment| !foreign.contains(segment));
    }
}

/// Plans and reads again where a listed segment was deleted before it was read.
pub(crate) fn retry_if_gone<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let mut tries = 0;
    loop {
        match attempt() {
            Err(e) if e.kind() == Kind::Missing && tries < REPLANS_MAX && e.has_source() => tries += 1,
            other => return other,
        }
    }
}
