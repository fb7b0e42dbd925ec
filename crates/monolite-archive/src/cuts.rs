//! Recorded cuts: a commit of each service, all of one moment, so that a system is restored as a whole.
//!
//! One small file each at the archive's top, `cuts/<unix ms>-<name>.json`. Those with a name of their own are *marks*.
//!
//! **Invariants**
//! - A recorded cut never changes.
//! - What a cut names stays restorable while it is recorded: its commits are pins of retention.
//!
//! Never here: taking a cut, restoring.

use crate::place::Place;
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

const FOLDER: &str = "cuts";
/// The name of cuts that nobody named.
const UNNAMED: &str = "auto";
/// The longest name of a mark.
const NAME_MAX: usize = 64;

/// Which recorded cut. As text it is the file's name without its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CutName {
    /// Its moment, in unix milliseconds.
    pub at_ms: i64,
    /// The mark, or nothing.
    pub mark: Option<String>,
}

/// A service at a cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Its history.
    pub history: String,
    /// Its last commit.
    pub sequence: u64,
}

/// A recorded cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutPoint {
    /// The format of this file: 1.
    pub format: u32,
    /// Its moment, in unix milliseconds.
    pub at_ms: i64,
    /// Where each service was.
    pub services: BTreeMap<String, Position>,
    /// Services of the system that are not in it: in quarantine, or not archived any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

impl CutName {
    fn parse(file: &str) -> Option<CutName> {
        let (at, name) = file.strip_suffix(".json")?.split_once('-')?;
        let plain = at.len() == 13 && at.bytes().all(|b| b.is_ascii_digit()) && is_mark(name);
        let at_ms = at.parse().ok().filter(|_| plain)?;
        Some(CutName { at_ms, mark: (name != UNNAMED).then(|| name.to_owned()) })
    }

    fn file(&self) -> Result<String> {
        let name = self.mark.as_deref().unwrap_or(UNNAMED);
        if !is_mark(name) || self.mark.as_deref() == Some(UNNAMED) || !(0..10_i64.pow(13)).contains(&self.at_ms) {
            let text = format!(
                "{name:?} cannot name a cut: letters, digits, '-', '_' and '.', {NAME_MAX} at most, and not {UNNAMED}"
            );
            return Err(Error::invalid(text));
        }
        Ok(format!("{FOLDER}/{self}.json"))
    }
}

impl fmt::Display for CutName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:013}-{}", self.at_ms, self.mark.as_deref().unwrap_or(UNNAMED))
    }
}

fn is_mark(name: &str) -> bool {
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(sound)
}

/// Records a cut, where none of this name and moment is.
pub fn record(place: &dyn Place, mark: Option<&str>, cut: &CutPoint) -> Result<CutName> {
    let name = CutName { at_ms: cut.at_ms, mark: mark.map(str::to_owned) };
    let bytes = serde_json::to_vec_pretty(cut).expect("plain fields");
    place.put_new(&name.file()?, &bytes, cut.at_ms)?;
    Ok(name)
}

/// The recorded cuts, oldest first.
pub fn recorded(place: &dyn Place) -> Result<Vec<CutName>> {
    let mut names: Vec<CutName> = place.list(FOLDER)?.iter().filter_map(|entry| CutName::parse(&entry.name)).collect();
    names.sort();
    Ok(names)
}

/// The newest recorded cut from strictly before a moment.
pub fn newest_before(names: &[CutName], moment_ms: i64) -> Option<&CutName> {
    names.iter().filter(|name| name.at_ms < moment_ms).max()
}

/// The newest cut with this mark.
pub fn marked<'a>(names: &'a [CutName], mark: &str) -> Option<&'a CutName> {
    names.iter().filter(|name| name.mark.as_deref() == Some(mark)).max()
}

/// Reads a recorded cut.
pub fn read(place: &dyn Place, name: &CutName) -> Result<CutPoint> {
    let file = name.file()?;
    let bytes = place.read_small(&file)?;
    let bytes = bytes.ok_or_else(|| Error::new(Kind::Missing, format!("there is no cut {name}")))?;
    let cut: CutPoint = serde_json::from_slice(&bytes).map_err(|e| Error::damaged(format!("{file}: {e}")))?;
    match cut.format {
        1 if cut.at_ms == name.at_ms => Ok(cut),
        1 => Err(Error::damaged(format!("{file} says that it is of {}", cut.at_ms))),
        other => Err(Error::new(Kind::Newer, format!("{file} has format {other}; this program knows 1"))),
    }
}

/// Removes a recorded cut. What it named may be deleted from then on.
pub fn forget(place: &dyn Place, name: &CutName) -> Result<()> {
    place.delete(&name.file()?)
}

/// The cuts that go: those without a mark, older than `age_ms`.
pub fn expendable(names: &[CutName], age_ms: i64, now_ms: i64) -> Vec<CutName> {
    let old = |name: &&CutName| name.mark.is_none() && name.at_ms.saturating_add(age_ms) < now_ms;
    names.iter().filter(old).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Folder;

    fn cut(at_ms: i64) -> CutPoint {
        let position = |sequence| Position { history: "00ff".into(), sequence };
        let services = [("Users".to_owned(), position(7)), ("Files".to_owned(), position(9))].into();
        CutPoint { format: 1, at_ms, services, missing: Vec::new() }
    }

    #[test]
    fn cuts_come_back_by_moment_and_by_mark() {
        let scratch = tempfile::tempdir().unwrap();
        let place = Folder::open(scratch.path()).unwrap();
        assert_eq!(recorded(&place).unwrap(), []);
        for (at_ms, mark) in [(3_000, None), (1_000, None), (2_000, Some("before-the-import")), (4_000, None)] {
            record(&place, mark, &cut(at_ms)).unwrap();
        }
        place.put("cuts/README", b"not a cut").unwrap();
        let names = recorded(&place).unwrap();
        assert_eq!(names.iter().map(|name| name.at_ms).collect::<Vec<_>>(), [1_000, 2_000, 3_000, 4_000]);
        assert_eq!(names[1].to_string(), "0000000002000-before-the-import");
        let moment = |ms| newest_before(&names, ms).map(|name| name.at_ms);
        assert_eq!((moment(1_000), moment(1_001), moment(i64::MAX)), (None, Some(1_000), Some(4_000)));
        let mark = marked(&names, "before-the-import").unwrap();
        assert_eq!(read(&place, mark).unwrap(), cut(2_000));
        assert_eq!(marked(&names, "none"), None);
        assert_eq!(record(&place, None, &cut(1_000)).unwrap_err().kind(), Kind::Exists);
        assert_eq!(expendable(&names, 2_000, 5_001), [names[0].clone(), names[2].clone()], "a mark stays");
        forget(&place, mark).unwrap();
        assert_eq!(read(&place, mark).unwrap_err().kind(), Kind::Missing);
    }

    #[test]
    fn a_mark_is_a_plain_name() {
        let scratch = tempfile::tempdir().unwrap();
        let place = Folder::open(scratch.path()).unwrap();
        for mark in ["", "a/b", "..\u{e4}", "auto", &"x".repeat(65), "a b"] {
            assert_eq!(record(&place, Some(mark), &cut(1)).unwrap_err().kind(), Kind::Invalid, "{mark}");
        }
    }

    #[test]
    fn a_cut_of_another_format_or_moment_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let place = Folder::open(scratch.path()).unwrap();
        for (text, kind) in [
            (r#"{"format":2,"at_ms":5,"services":{}}"#, Kind::Newer),
            (r#"{"format":1,"at_ms":6,"services":{}}"#, Kind::Damaged),
            ("{", Kind::Damaged),
        ] {
            place.put("cuts/0000000000005-auto.json", text.as_bytes()).unwrap();
            let name = recorded(&place).unwrap().remove(0);
            assert_eq!(read(&place, &name).unwrap_err().kind(), kind);
        }
    }
}
