//! From the log to the folders and files that a power cut could have left.
//!
//! **Invariants**
//! - An image has all that was durable: bytes whose file was synced, names whose folder was; of the rest any part.
//! - A name that was moved is never nowhere; it may be at both places.
//! - Removals reach the disk in the order in which they were made, as a journal has them: retention counts on no more.

use super::log::{Entry, Op};
use crate::random::Random;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folders (without bytes) and files, by their names in the folder that was watched.
pub(super) type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// What of that which was not durable reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Nothing.
    Bare,
    /// All.
    Whole,
    /// What came before a random moment.
    Prefix,
    /// Names without bytes: files are there and empty.
    Hollow,
    /// Any of it.
    Any,
}

pub(super) const STYLES: [Style; 5] = [Style::Bare, Style::Whole, Style::Prefix, Style::Hollow, Style::Any];

type Id = usize;

/// A walk over the log.
#[derive(Default)]
pub(super) struct Walk {
    nodes: Vec<Node>,
    /// What has which name now, and what has it durably.
    live: BTreeMap<PathBuf, Id>,
    durable: BTreeMap<PathBuf, Id>,
    changes: Vec<Renaming>,
}

#[derive(Default)]
struct Node {
    folder: bool,
    durable: Vec<u8>,
    pending: Vec<(usize, What)>,
}

#[derive(Clone)]
enum What {
    Write(u64, std::sync::Arc<[u8]>),
    Length(u64),
}

/// Names that are not durable: one that is given, one that goes, or both.
#[derive(Clone)]
struct Renaming {
    index: usize,
    made: Option<(PathBuf, Id)>,
    gone: Option<PathBuf>,
}

impl Walk {
    /// Takes an entry.
    pub(super) fn take(&mut self, index: usize, entry: &Entry) {
        match &entry.op {
            Op::Folder(path) => self.make(index, path, true),
            Op::Create(path) => self.make(index, path, false),
            Op::Write { file, at, bytes } => self.change(index, file, What::Write(*at, bytes.clone())),
            Op::Length { file, bytes } => self.change(index, file, What::Length(*bytes)),
            Op::Rename { from, to } => {
                let Some(id) = self.live.remove(from) else { return };
                self.live.insert(to.clone(), id);
                self.changes.push(Renaming { index, made: Some((to.clone(), id)), gone: Some(from.clone()) });
            }
            Op::Link { from, to } => {
                let Some(id) = self.live.get(from).copied() else { return };
                self.live.insert(to.clone(), id);
                self.changes.push(Renaming { index, made: Some((to.clone(), id)), gone: None });
            }
            Op::Remove(path) => {
                self.live.remove(path);
                self.changes.push(Renaming { index, made: None, gone: Some(path.clone()) });
            }
            Op::Sync { path, upto } => self.sync(path, *upto),
            Op::Answered { .. } => {}
        }
    }

    /// Whether more than one image is possible.
    pub(super) fn is_uncertain(&self) -> bool {
        !self.changes.is_empty() || self.nodes.iter().any(|node| !node.pending.is_empty())
    }

    /// What a power cut could leave now.
    pub(super) fn image(&self, style: Style, random: &mut Random) -> Tree {
        let indexes = || {
            let bytes = self.nodes.iter().flat_map(|node| node.pending.iter().map(|(index, _)| *index));
            bytes.chain(self.changes.iter().map(|change| change.index))
        };
        let (first, last) = (indexes().min().unwrap_or(0), indexes().max().unwrap_or(0));
        let limit = first + random.below((last - first + 1) as u64) as usize;
        let keep = 5 + random.below(91);
        let mut names = self.durable.clone();
        let mut removing = true;
        for change in &self.changes {
            let happened = match style {
                Style::Any if change.made.is_none() => {
                    removing &= random.percent(keep);
                    removing
                }
                Style::Bare => false,
                Style::Whole | Style::Hollow => true,
                Style::Prefix => change.index <= limit,
                Style::Any => random.percent(keep),
            };
            if happened {
                change.apply(&mut names);
            }
        }
        let mut tree = Tree::new();
        for (path, id) in &names {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            if parent.is_some_and(|parent| tree.get(parent) != Some(&None)) {
                continue; // the folder that it lay in has no name itself: parents come before what is in them
            }
            let node = &self.nodes[*id];
            tree.insert(path.clone(), (!node.folder).then(|| node.bytes(style, limit, keep, random)));
        }
        tree
    }

    fn make(&mut self, index: usize, path: &Path, folder: bool) {
        let id = self.nodes.len();
        self.nodes.push(Node { folder, ..Node::default() });
        self.live.insert(path.to_owned(), id);
        self.changes.push(Renaming { index, made: Some((path.to_owned(), id)), gone: None });
    }

    fn change(&mut self, index: usize, file: &Path, what: What) {
        if let Some(id) = self.live.get(file) {
            self.nodes[*id].pending.push((index, what));
        }
    }

    fn sync(&mut self, path: &Path, upto: usize) {
        match self.live.get(path).map(|id| &mut self.nodes[*id]) {
            Some(node) if !node.folder => {
                let pending = std::mem::take(&mut node.pending);
                for (index, what) in pending {
                    if index < upto { what.apply(&mut node.durable) } else { node.pending.push((index, what)) }
                }
            }
            _ => {
                let within = |name: &Path| name.parent() == Some(path);
                for mut change in std::mem::take(&mut self.changes) {
                    let made = change.made.as_ref().is_some_and(|(name, _)| within(name));
                    let gone = change.gone.as_ref().is_some_and(|name| within(name));
                    if change.index >= upto || !(made || gone) {
                        self.changes.push(change);
                    } else if made && !gone && change.gone.is_some() {
                        // The other folder is not synced: there the old name may come up again.
                        Renaming { gone: None, ..change.clone() }.apply(&mut self.durable);
                        change.made = None;
                        self.changes.push(change);
                    } else {
                        change.apply(&mut self.durable);
                    }
                }
            }
        }
    }
}

impl Renaming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Id>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((made, id)) = &self.made {
            names.insert(made.clone(), *id);
        }
    }
}

impl Node {
    fn bytes(&self, style: Style, limit: usize, keep: u64, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for (index, what) in &self.pending {
            let happened = match style {
                Style::Bare | Style::Hollow => false,
                Style::Whole => true,
                Style::Prefix => *index <= limit,
                Style::Any => random.percent(keep),
            };
            match what {
                What::Write(at, data) if style == Style::Any && random.percent(30) => {
                    // A part of it, up to the end of a sector; the file has its length, and the rest is zeros.
                    let end = random.below(data.len() as u64 / 512 + 1) as usize * 512;
                    let mut torn = data.to_vec();
                    torn[end..].fill(0);
                    What::Write(*at, torn.into()).apply(&mut bytes);
                }
                what if happened => what.apply(&mut bytes),
                _ => {}
            }
        }
        bytes
    }
}

impl What {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            What::Length(length) => bytes.resize(*length as usize, 0),
            What::Write(at, data) => {
                let (at, end) = (*at as usize, *at as usize + data.len());
                bytes.resize(bytes.len().max(end), 0);
                bytes[at..end].copy_from_slice(data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn walk(ops: Vec<Op>) -> Walk {
        let mut walk = Walk::default();
        for (index, op) in ops.into_iter().enumerate() {
            walk.take(index, &Entry { op, store: 0 });
        }
        walk
    }

    fn write(file: &str) -> Op {
        Op::Write { file: file.into(), at: 0, bytes: b"bytes".as_slice().into() }
    }

    fn sync(path: &str) -> Op {
        Op::Sync { path: path.into(), upto: usize::MAX }
    }

    #[test]
    fn a_file_is_there_once_it_and_the_folders_above_it_were_synced() {
        let steps = vec![
            Op::Folder("p".into()),
            sync(""),
            Op::Folder("d".into()),
            sync(""),
            Op::Create("p/1".into()),
            write("p/1"),
            sync("p/1"),
            Op::Rename { from: "p/1".into(), to: "d/x".into() },
        ];
        let mut random = Random::new(1);
        let before = walk(steps.clone()).image(Style::Bare, &mut random);
        assert!(!before.contains_key(Path::new("d/x")) && before.contains_key(Path::new("d")), "{before:?}");
        let after = walk([steps, vec![sync("d")]].concat());
        for style in STYLES {
            let image = after.image(style, &mut random);
            assert_eq!(image[Path::new("d/x")].as_deref(), Some(&b"bytes"[..]), "{style:?}");
        }
    }

    #[test]
    fn what_was_not_synced_may_be_empty_and_what_lies_in_a_lost_folder_is_lost() {
        let mut random = Random::new(2);
        let named = walk(vec![Op::Create("x".into()), write("x"), sync("")]);
        assert_eq!(named.image(Style::Bare, &mut random)[Path::new("x")].as_deref(), Some(&b""[..]));
        let lost = walk(vec![Op::Folder("d".into()), Op::Create("d/x".into()), sync("d/x"), sync("d")]);
        assert!(lost.image(Style::Bare, &mut random).is_empty());
        assert_eq!(lost.image(Style::Whole, &mut random).len(), 2);
    }
}
