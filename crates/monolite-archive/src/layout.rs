//! Names: where a segment lies below the root of its history.
//!
//! The two layouts are those of Litestream's replicas: in a folder `ltx/9/…`, in a bucket `0009/…`.
//!
//! **Invariants**
//! - Names sort as their commits do, and a name that was not written here is passed over, never guessed at.

use crate::{Error, Result};
use std::fmt;

/// The level of whole files: Litestream looks for its snapshots there.
pub const BASES: Level = Level(9);

/// How far a segment was merged: 0 as captured, 1 to 8 merged, 9 whole files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// As captured.
    pub const CAPTURED: Level = Level(0);

    /// A level, 0 to 9.
    pub const fn new(level: u8) -> Option<Level> {
        if level <= 9 { Some(Level(level)) } else { None }
    }

    /// All levels, captured first.
    pub fn all() -> impl DoubleEndedIterator<Item = Level> {
        (0..=9).map(Level)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Which of Litestream's layouts a place has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `ltx/<level>/`, for folders.
    Folder,
    /// `<level, four hex digits>/`, for S3.
    Bucket,
}

impl Layout {
    /// The folder of a level, below the history's root.
    pub fn folder(self, level: Level) -> String {
        match self {
            Layout::Folder => format!("ltx/{}", level.0),
            Layout::Bucket => format!("{:04x}", level.0),
        }
    }
}

/// The commits that a segment's name says it has. As text: `<first>-<last>.ltx`, each 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// The first commit's sequence; 1 makes it a base.
    pub first: u64,
    /// The last commit's sequence.
    pub last: u64,
}

impl SegmentName {
    /// Whether the segment holds the whole file.
    pub fn is_base(self) -> bool {
        self.first == 1
    }

    /// Reads a file's name. `None` for all that is not exactly a segment's.
    pub fn parse(name: &str) -> Option<SegmentName> {
        let (first, last) = name.strip_suffix(".ltx")?.split_once('-')?;
        let number = |text: &str| {
            let plain = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            plain.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        let name = SegmentName { first: number(first)?, last: number(last)? };
        (1 <= name.first && name.first <= name.last).then_some(name)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}.ltx", self.first, self.last)
    }
}

/// The root of a service's history within an archive: one replica of Litestream's.
pub fn history_root(service: &str, history: &str) -> Result<String> {
    let plain = |text: &str| {
        let sound = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        !text.is_empty() && text.len() <= 100 && text.bytes().all(sound)
    };
    if plain(service) && plain(history) {
        Ok(format!("{service}/{history}"))
    } else {
        Err(Error::invalid(format!("{service:?}/{history:?} cannot be a folder's name")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_sort_as_their_commits() {
        let names = [(1, 1), (1, 10), (2, 3), (16, 0x1_0000_0000), (u64::MAX, u64::MAX)];
        let texts = names.map(|(first, last)| SegmentName { first, last }.to_string());
        assert!(texts.is_sorted());
        for ((first, last), text) in names.iter().zip(&texts) {
            assert_eq!(SegmentName::parse(text), Some(SegmentName { first: *first, last: *last }));
        }
        assert_eq!(texts[1], "0000000000000001-000000000000000a.ltx");
    }

    #[test]
    fn what_is_no_segments_name_is_passed_over() {
        for name in [
            "",
            "monolite.json",
            "0000000000000001-000000000000000a.ltx.partial",
            "0000000000000001-000000000000000A.ltx",
            "1-a.ltx",
            "000000000000000a-0000000000000001.ltx",
            "0000000000000000-0000000000000001.ltx",
            "+000000000000001-0000000000000001.ltx",
        ] {
            assert_eq!(SegmentName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn the_layouts_are_litestreams() {
        let folders = |layout: Layout| [Level::CAPTURED, BASES].map(|level| layout.folder(level));
        assert_eq!(folders(Layout::Folder), ["ltx/0", "ltx/9"]);
        assert_eq!(folders(Layout::Bucket), ["0000", "0009"]);
        assert_eq!(Level::new(10), None);
    }

    #[test]
    fn a_root_cannot_leave_the_archive() {
        assert_eq!(history_root("Users", "0af3").unwrap(), "Users/0af3");
        for (service, history) in [("..", "a"), ("a/b", "c"), ("", "a"), ("a", ""), ("a", ".")] {
            assert!(history_root(service, history).is_err());
        }
    }
}
