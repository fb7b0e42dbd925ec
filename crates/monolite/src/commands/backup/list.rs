//! `backup list`: what the archive holds.

use crate::archive::restoring::moment;
use crate::archive::{Where, histories, no_history, services};
use crate::context::Context;
use crate::output::size;
use crate::verb::Result;
use anyhow::Context as _;
use monolite_archive::{History, Manifest, cuts};
use serde::Serialize;
use std::path::PathBuf;

/// One history.
#[derive(Serialize)]
struct Listed {
    service: String,
    history: String,
    begun: String,
    segments: usize,
    bytes: u64,
    bases: usize,
    /// The oldest commit that a restore can go to.
    oldest: Option<u64>,
    oldest_moment: Option<String>,
    newest: Option<u64>,
    newest_moment: Option<String>,
}

pub(super) fn run(context: &Context, service: Option<&str>, from: Option<PathBuf>) -> Result {
    let place = Where::or(from, context.config(), context.data()).to_read(context.config())?;
    let mut listed = Vec::new();
    for name in services(&place)?.into_iter().filter(|name| service.is_none_or(|service| service == name)) {
        for (history, manifest) in histories(&place, &name)? {
            listed.push(look(&history, manifest).with_context(|| name.clone())?);
        }
    }
    if listed.is_empty() {
        return Err(no_history(&place, service)?.into());
    }
    let cuts = cuts::recorded(&*place)?;
    let out = context.output();
    if out.is_json() {
        listed.iter().try_for_each(|history| out.json(history))?;
        let cut = |cut: &cuts::CutName| out.json(&serde_json::json!({ "cut": cut.mark, "moment": moment(cut.at_ms) }));
        return cuts.iter().try_for_each(cut);
    }
    let text = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let rows = listed.iter().map(|l| {
        let dash = || "-".to_owned();
        [
            l.service.clone(),
            l.history.clone(),
            size(l.bytes),
            l.segments.to_string(),
            text(l.oldest),
            l.oldest_moment.clone().unwrap_or_else(dash),
            text(l.newest),
            l.newest_moment.clone().unwrap_or_else(dash),
        ]
    });
    out.table(&["service", "history", "bytes", "segments", "from commit", "of", "to commit", "of"], rows)?;
    let marks = cuts.iter().filter_map(|cut| Some((cut.mark.as_ref()?, cut.at_ms)));
    marks.for_each(|(mark, at_ms)| context.note(format!("  cut {mark} of {}", moment(at_ms))));
    if let Some(said) = all_of(&cuts) {
        context.note(said);
    }
    Ok(())
}

/// What is said of all cuts together.
fn all_of(cuts: &[cuts::CutName]) -> Option<String> {
    let [first, .., last] = cuts else {
        let only = cuts.first()?;
        return Some(format!("one cut, of {}: `restore --all` goes to it", moment(only.at_ms)));
    };
    let (first, last) = (moment(first.at_ms), moment(last.at_ms));
    Some(format!("{} cuts from {first} to {last}: `restore --all` goes to one of them", cuts.len()))
}

fn look(history: &History, manifest: Manifest) -> Result<Listed> {
    let segments = history.segments()?;
    let oldest = segments.iter().filter(|s| s.name.is_base()).min_by_key(|s| s.name.last);
    let newest = segments.iter().max_by_key(|s| s.name.last);
    let at = |segment: Option<&monolite_archive::Segment>| -> Result<Option<String>> {
        segment.map(|s| Ok(moment(history.header(s)?.at_ms))).transpose()
    };
    Ok(Listed {
        service: manifest.service,
        history: manifest.history,
        begun: moment(manifest.begun_ms),
        segments: segments.len(),
        bytes: segments.iter().map(|s| s.bytes).sum(),
        bases: segments.iter().filter(|s| s.name.is_base()).count(),
        oldest: oldest.map(|s| s.name.last),
        oldest_moment: at(oldest)?,
        newest: newest.map(|s| s.name.last),
        newest_moment: at(newest)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_counted_as_one_says_it() {
        let cuts: Vec<_> = [1_000, 61_000].map(|at_ms| cuts::CutName { at_ms, mark: None }).into();
        assert_eq!(all_of(&[]), None);
        let one = all_of(&cuts[..1]).unwrap();
        assert!(one.starts_with("one cut, of 1970-01-01T00:00:01"), "{one}");
        let two = all_of(&cuts).unwrap();
        assert!(two.starts_with("2 cuts from 1970-01-01T00:00:01") && two.contains("to 1970-01-01T00:01:01"), "{two}");
    }
}
