//! From the log to the folders and files that a power cut could have left.
//!
//! **Invariants**
//! - An image has all that was durable: bytes whose file was synced, names whose folder was; of the rest any part.
//! - A name lies in a folder, not under a path: where a folder has moved, so has what is in it.
//! - A name that was moved is never nowhere; it may be at both places. Two names that were exchanged have both changed or neither
//!   has, and they surely have once both folders were synced.
//! - Removals reach the disk in the order in which they were made, as a journal has them, in whichever folders: one that is sure is
//!   sure with all that were made before it. Retention counts on no more.

use super::Op;
use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folders (without bytes) and files, by their names in the folder that was watched.
pub(crate) type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// What of that which was not durable reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
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

pub(crate) const STYLES: [Style; 5] = [Style::Bare, Style::Whole, Style::Prefix, Style::Hollow, Style::Any];

type Id = usize;
/// The folder that is watched.
const ROOT: Id = 0;
/// A folder, and a name in it.
type Name = (Id, OsString);
type Names = BTreeMap<Name, Id>;

/// A walk over the log.
pub(crate) struct Walk {
    nodes: Vec<Node>,
    /// What has which name now, and what has it durably.
    live: Names,
    durable: Names,
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
    Write(u64, Arc<[u8]>),
    Length(u64),
}

/// Names that are not durable: some that are given, some that go.
#[derive(Clone)]
struct Renaming {
    index: usize,
    made: Vec<(Name, Id)>,
    gone: Option<Name>,
    /// A name was removed; what is left of one that was moved is none.
    is_removal: bool,
    /// Of an exchange, the folders that are still to be synced.
    unsynced: BTreeSet<Id>,
}

impl Default for Walk {
    fn default() -> Self {
        let nodes = vec![Node { folder: true, ..Node::default() }];
        Walk { nodes, live: Names::new(), durable: Names::new(), changes: Vec::new() }
    }
}

impl Walk {
    /// What lies in a folder before anything was heard, all of it durable.
    pub(crate) fn found(folder: &Path) -> std::io::Result<Walk> {
        let mut walk = Walk::default();
        let mut folders = vec![(ROOT, folder.to_owned())];
        while let Some((id, path)) = folders.pop() {
            for entry in std::fs::read_dir(path)? {
                let entry = entry?;
                // Nobody syncs these two: they may as well not be there.
                if [".mark", ".lock"].iter().any(|end| entry.file_name().to_string_lossy().ends_with(end)) {
                    continue;
                }
                let (node, kind) = (walk.nodes.len(), entry.file_type()?);
                let durable = if kind.is_file() { std::fs::read(entry.path())? } else { Vec::new() };
                if kind.is_dir() {
                    folders.push((node, entry.path()));
                }
                if kind.is_dir() || kind.is_file() {
                    walk.nodes.push(Node { folder: kind.is_dir(), durable, ..Node::default() });
                    walk.live.insert((id, entry.file_name()), node);
                }
            }
        }
        walk.durable = walk.live.clone();
        Ok(walk)
    }

    /// Takes an entry.
    pub(crate) fn take(&mut self, index: usize, op: &Op) {
        match op {
            Op::Folder(path) => self.make(index, path, true),
            Op::Create(path) => self.make(index, path, false),
            Op::Write { file, at, bytes } => self.change(index, file, What::Write(*at, bytes.clone())),
            Op::Length { file, bytes } => self.change(index, file, What::Length(*bytes)),
            Op::Rename { from, to } => {
                let (Some(gone), Some(made)) = (self.name(from), self.name(to)) else { return };
                let Some(id) = self.live.remove(&gone) else { return };
                self.live.insert(made.clone(), id);
                self.changes.push(Renaming::of(index, vec![(made, id)], Some(gone)));
            }
            Op::Exchange { a, b } => self.exchange(index, a, b),
            Op::Remove(path) => {
                let Some(gone) = self.name(path) else { return };
                self.live.remove(&gone);
                self.changes.push(Renaming::of(index, Vec::new(), Some(gone)));
            }
            Op::Sync { path, upto } => self.sync(path, *upto),
            Op::Seen { path, bytes } => self.seen(path, bytes.as_deref()),
            Op::Answered { .. } => {}
        }
    }

    /// Whether more than one image is possible.
    pub(crate) fn is_uncertain(&self) -> bool {
        !self.changes.is_empty() || self.nodes.iter().any(|node| !node.pending.is_empty())
    }

    /// Whether all that happened under a name surely outlives a power cut: its own and those of the folders above it.
    pub(crate) fn is_durable(&self, path: &Path) -> bool {
        let mut above = path.ancestors().filter(|path| !path.as_os_str().is_empty());
        above.all(|path| {
            self.name(path).is_some_and(|name| {
                let waits = |change: &Renaming| {
                    change.gone.as_ref() == Some(&name) || change.made.iter().any(|(made, _)| *made == name)
                };
                self.durable.get(&name) == self.live.get(&name) && !self.changes.iter().any(waits)
            })
        })
    }

    /// What a power cut could leave now.
    pub(crate) fn image(&self, style: Style, random: &mut Random) -> Tree {
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
                Style::Any if change.is_removal => {
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
        let mut folders = vec![(ROOT, PathBuf::new())];
        // What lies in a folder without a name is not reached. None lies in itself: one is only moved beside it.
        while let Some((folder, path)) = folders.pop() {
            let within = names.range((folder, OsString::new())..).take_while(|((of, _), _)| *of == folder);
            for ((_, name), id) in within {
                let (node, path) = (&self.nodes[*id], path.join(name));
                if node.folder {
                    folders.push((*id, path.clone()));
                }
                tree.insert(path, (!node.folder).then(|| node.bytes(style, limit, keep, random)));
            }
        }
        tree
    }

    /// What has a name now.
    fn find(&self, path: &Path) -> Option<Id> {
        path.iter().try_fold(ROOT, |folder, name| self.live.get(&(folder, name.to_owned())).copied())
    }

    fn name(&self, path: &Path) -> Option<Name> {
        Some((self.find(path.parent()?)?, path.file_name()?.to_owned()))
    }

    fn make(&mut self, index: usize, path: &Path, folder: bool) {
        let Some(name) = self.name(path) else { return };
        let id = self.nodes.len();
        self.nodes.push(Node { folder, ..Node::default() });
        self.live.insert(name.clone(), id);
        self.changes.push(Renaming::of(index, vec![(name, id)], None));
    }

    fn change(&mut self, index: usize, file: &Path, what: What) {
        if let Some(id) = self.find(file) {
            self.nodes[id].pending.push((index, what));
        }
    }

    fn exchange(&mut self, index: usize, a: &Path, b: &Path) {
        let (Some(a), Some(b)) = (self.name(a), self.name(b)) else { return };
        let (Some(of_a), Some(of_b)) = (self.live.get(&a).copied(), self.live.get(&b).copied()) else { return };
        self.live.insert(a.clone(), of_b);
        self.live.insert(b.clone(), of_a);
        let unsynced = BTreeSet::from([a.0, b.0]);
        let made = vec![(a, of_b), (b, of_a)];
        self.changes.push(Renaming { index, made, gone: None, is_removal: false, unsynced });
    }

    /// SQLite's own steps are not heard: what it did is taken to be durable, names and bytes. What the file already held is not.
    fn seen(&mut self, path: &Path, bytes: Option<&[u8]>) {
        let (Some(name), there) = (self.name(path), self.find(path)) else { return };
        match (there, bytes) {
            (Some(id), Some(bytes)) if self.nodes[id].live() != bytes => {
                self.nodes[id] = Node { durable: bytes.to_vec(), ..Node::default() };
            }
            (None, Some(bytes)) => {
                let id = self.nodes.len();
                self.nodes.push(Node { durable: bytes.to_vec(), ..Node::default() });
                self.live.insert(name.clone(), id);
                self.durable.insert(name, id);
            }
            (Some(_), None) => {
                self.live.remove(&name);
                self.durable.remove(&name);
            }
            _ => {}
        }
    }

    fn sync(&mut self, path: &Path, upto: usize) {
        let Some(id) = self.find(path) else { return };
        if !self.nodes[id].folder {
            let node = &mut self.nodes[id];
            let pending = std::mem::take(&mut node.pending);
            for (index, what) in pending {
                if index < upto { what.apply(&mut node.durable) } else { node.pending.push((index, what)) }
            }
            return;
        }
        let removed = |change: &&Renaming| {
            let within = change.gone.as_ref().is_some_and(|(folder, _)| *folder == id);
            within && change.is_removal && change.index < upto
        };
        let last_removed = self.changes.iter().filter(removed).map(|change| change.index).max();
        for mut change in std::mem::take(&mut self.changes) {
            if change.is_removal && last_removed.is_some_and(|last| change.index <= last) {
                change.apply(&mut self.durable);
                continue;
            }
            let made = change.made.iter().any(|((folder, _), _)| *folder == id);
            let gone = change.gone.as_ref().is_some_and(|(folder, _)| *folder == id);
            let covered = change.index < upto && (made || gone);
            let half_sure = covered && change.unsynced.remove(&id) && !change.unsynced.is_empty();
            if !covered || half_sure {
                self.changes.push(change);
            } else if made && !gone && change.gone.is_some() {
                // The other folder is not synced: there the old name may come up again.
                Renaming { gone: None, ..change.clone() }.apply(&mut self.durable);
                change.made.clear();
                self.changes.push(change);
            } else {
                change.apply(&mut self.durable);
            }
        }
    }
}

impl Renaming {
    fn of(index: usize, made: Vec<(Name, Id)>, gone: Option<Name>) -> Self {
        let is_removal = made.is_empty();
        Renaming { index, made, gone, is_removal, unsynced: BTreeSet::new() }
    }

    fn apply(&self, names: &mut Names) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        names.extend(self.made.iter().cloned());
    }
}

impl Node {
    /// What it holds now, durable or not.
    fn live(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        self.pending.iter().for_each(|(_, what)| what.apply(&mut bytes));
        bytes
    }

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
#[path = "tree_tests.rs"]
mod tests;
