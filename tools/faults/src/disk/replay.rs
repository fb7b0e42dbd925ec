//! From the log to the states that a power cut could have left.
//!
//! **Invariants**
//! - Every image holds all that was durable at its moment; of the rest, any part.
//! - A sector is the unit that is written whole or not at all (unless [`Style::Torn`] damages it): 512 or 4096 bytes.

use super::{FileId, Note, Op};
use crate::random::Random;
use std::collections::BTreeMap;

/// What a power cut left: files by name.
pub type Image = BTreeMap<String, Vec<u8>>;

/// Which of the writes that were not durable reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// None.
    Bare,
    /// All.
    Whole,
    /// Those before a random moment, and of the one at that moment a part.
    Prefix,
    /// Random sectors of this many bytes; the others keep what they held.
    Sectors(usize),
    /// Random sectors of this many bytes; the others hold rubbish.
    Torn(usize),
    /// All, but that no file was cut.
    Uncut,
    /// Files have the length they would have, but new sectors are zero.
    ZeroTail,
}

/// All styles.
pub const STYLES: [Style; 9] = [
    Style::Uncut,
    Style::Bare,
    Style::Whole,
    Style::Prefix,
    Style::Sectors(512),
    Style::Sectors(4096),
    Style::Torn(512),
    Style::Torn(4096),
    Style::ZeroTail,
];

/// A walk over the log.
pub struct Replay<'a> {
    log: &'a [Op],
    at: usize,
    nodes: BTreeMap<FileId, Node<'a>>,
    names: BTreeMap<FileId, String>,
    changed_names: Vec<(usize, FileId, NameChange)>,
    beside: Vec<(&'a str, &'a [u8])>,
}

#[derive(Default)]
struct Node<'a> {
    name: String,
    durable: Vec<u8>,
    changes: Vec<Change<'a>>,
}

struct Change<'a> {
    index: usize,
    what: What<'a>,
    state: State,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Write(u64, &'a [u8]),
    Truncate(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A sync will make it durable.
    Pending,
    /// Durable, but behind something doubtful.
    Sure,
    /// A sync of it has failed: no later one helps.
    Doubtful,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameChange {
    Made,
    Removed,
}

impl<'a> Replay<'a> {
    /// Before the log's first operation.
    pub fn new(log: &'a [Op]) -> Self {
        Replay {
            log,
            at: 0,
            nodes: BTreeMap::new(),
            names: BTreeMap::new(),
            changed_names: Vec::new(),
            beside: Vec::new(),
        }
    }

    /// Takes the next operation; answers a client's note, if it is one.
    pub fn step(&mut self) -> Option<Step> {
        let op = self.log.get(self.at)?;
        let index = self.at;
        self.at += 1;
        match op {
            Op::Note(note) => return Some(Step::Note(*note)),
            Op::Found { file, name, bytes } => {
                self.nodes.insert(*file, Node { name: name.clone(), durable: bytes.to_vec(), changes: Vec::new() });
                self.names.insert(*file, name.clone());
            }
            Op::Create { file, name } => {
                self.nodes.insert(*file, Node { name: name.clone(), ..Node::default() });
                self.changed_names.push((index, *file, NameChange::Made));
            }
            Op::Unlink { file } => self.changed_names.push((index, *file, NameChange::Removed)),
            Op::Write { file, at, data } => self.change(*file, index, What::Write(*at, data)),
            Op::Truncate { file, size } => self.change(*file, index, What::Truncate(*size)),
            Op::Sync { file, upto } => self.sync(*file, *upto),
            Op::SyncFailed { file } => self.sync_failed(*file),
            Op::Beside { name, bytes } => self.beside.push((name, bytes)),
            Op::Reread { file, bytes } => {
                let node = self.nodes.get_mut(file).expect("a file is opened before it is read");
                node.changes.clear();
                node.durable = bytes.to_vec();
            }
            Op::SyncFolder { upto } => self.sync_folder(*upto),
        }
        Some(Step::Disk)
    }

    /// What a file holds on the disk, where a failed sync has left doubts: any part of what is doubtful. `None` where there
    /// is none, or something waits for a sync besides.
    pub(super) fn reread(&self, file: FileId, random: &mut Random) -> Option<Vec<u8>> {
        let node = self.nodes.get(&file)?;
        let doubtful = node.changes.iter().any(|c| c.state == State::Doubtful);
        let waiting = node.changes.iter().any(|c| c.state == State::Pending);
        let style = [Style::Bare, Style::Whole, Style::Sectors(512), Style::Sectors(4096)][random.below(4) as usize];
        (doubtful && !waiting).then(|| node.bytes(style, 0, random.below(100), random))
    }

    /// How many operations were taken.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Whether a file of this name has appeared.
    pub fn saw(&self, name: &str) -> bool {
        self.nodes.values().any(|n| n.name == name)
    }

    /// Whether more than one image is possible here.
    pub fn is_uncertain(&self) -> bool {
        !self.changed_names.is_empty() || self.nodes.values().any(|n| !n.changes.is_empty())
    }

    /// What a power cut could leave at this moment.
    pub fn image(&self, style: Style, random: &mut Random) -> Image {
        let last = self.nodes.values().flat_map(|n| n.changes.iter().map(|c| c.index)).max().unwrap_or(0);
        let first = self.nodes.values().flat_map(|n| n.changes.iter().map(|c| c.index)).min().unwrap_or(0);
        let limit = first + random.below((last - first + 1) as u64) as usize;
        let keep = 5 + random.below(91);
        let mut names = self.names.clone();
        for (index, file, change) in &self.changed_names {
            let happened = match style {
                Style::Bare => false,
                Style::Whole | Style::Uncut => true,
                Style::Prefix => *index <= limit,
                _ => random.percent(keep),
            };
            match (happened, change) {
                (true, NameChange::Made) => drop(names.insert(*file, self.nodes[file].name.clone())),
                (true, NameChange::Removed) => drop(names.remove(file)),
                (false, _) => {}
            }
        }
        let bytes = |file: &FileId, random: &mut Random| self.nodes[file].bytes(style, limit, keep, random);
        let mut image: Image = names.into_iter().map(|(file, name)| (name, bytes(&file, random))).collect();
        // A file that nobody syncs: as it was at any time, or not there.
        let seen = match style {
            Style::Bare => None,
            Style::Whole | Style::Uncut => self.beside.last(),
            _ => self.beside.get(random.below(self.beside.len() as u64 + 1) as usize),
        };
        image.extend(seen.map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())));
        image
    }

    fn change(&mut self, file: FileId, index: usize, what: What<'a>) {
        let node = self.nodes.get_mut(&file).expect("a file is opened before it is changed");
        node.changes.push(Change { index, what, state: State::Pending });
    }

    fn sync(&mut self, file: FileId, upto: usize) {
        let node = self.nodes.get_mut(&file).expect("a file is opened before it is synced");
        for change in &mut node.changes {
            if change.state == State::Pending && change.index < upto {
                change.state = State::Sure;
            }
        }
        let sure = node.changes.iter().take_while(|c| c.state == State::Sure).count();
        for change in node.changes.drain(..sure).collect::<Vec<_>>() {
            change.what.apply(&mut node.durable);
        }
    }

    fn sync_failed(&mut self, file: FileId) {
        let node = self.nodes.get_mut(&file).expect("a file is opened before it is synced");
        for change in &mut node.changes {
            if change.state == State::Pending {
                change.state = State::Doubtful;
            }
        }
    }

    fn sync_folder(&mut self, upto: usize) {
        let (done, rest): (Vec<_>, Vec<_>) = self.changed_names.drain(..).partition(|(index, _, _)| *index < upto);
        self.changed_names = rest;
        for (_, file, change) in done {
            match change {
                NameChange::Made => drop(self.names.insert(file, self.nodes[&file].name.clone())),
                NameChange::Removed => drop(self.names.remove(&file)),
            }
        }
    }
}

/// What a step of a [`Replay`] met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Something that the disk did.
    Disk,
    /// Something that a client learnt.
    Note(Note),
}

impl What<'_> {
    fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            What::Truncate(size) => bytes.resize(size as usize, 0),
            What::Write(at, data) => overwrite(bytes, at as usize, data),
        }
    }
}

impl Node<'_> {
    fn bytes(&self, style: Style, limit: usize, keep: u64, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.changes {
            if change.state == State::Sure {
                change.what.apply(&mut bytes);
                continue;
            }
            match (style, change.what) {
                (Style::Bare, _) | (Style::Uncut, What::Truncate(_)) => {}
                (Style::Whole | Style::Uncut, what) => what.apply(&mut bytes),
                (Style::Prefix, what) if change.index < limit => what.apply(&mut bytes),
                (Style::Prefix, What::Write(at, data)) if change.index == limit => {
                    let sectors = data.len() as u64 / 512 + 1;
                    let end = sector_end(at as usize, random.below(sectors + 1) as usize, data.len());
                    overwrite(&mut bytes, at as usize, &data[..end]);
                }
                (Style::Prefix, _) => {}
                (_, What::Truncate(_)) => {
                    if random.percent(keep) {
                        change.what.apply(&mut bytes);
                    }
                }
                (Style::Sectors(size), What::Write(at, data)) => {
                    scatter(&mut bytes, at as usize, data, size, keep, random, false);
                }
                (Style::Torn(size), What::Write(at, data)) => {
                    scatter(&mut bytes, at as usize, data, size, keep, random, true);
                }
                (Style::ZeroTail, What::Write(at, data)) => {
                    let end = at as usize + data.len();
                    bytes.resize(bytes.len().max(end), 0);
                }
            }
        }
        bytes
    }
}

/// Bytes of a write that end with its n-th sector.
fn sector_end(at: usize, sectors: usize, length: usize) -> usize {
    ((at / 512 + sectors) * 512).saturating_sub(at).min(length)
}

/// Writes random sectors of a write; the others keep what is there, or are rubbish. A file that grew may be left shorter.
fn scatter(bytes: &mut Vec<u8>, at: usize, data: &[u8], size: usize, keep: u64, random: &mut Random, torn: bool) {
    let mut from = 0;
    while from < data.len() {
        let to = ((at + from) / size * size + size - at).min(data.len());
        if random.percent(keep) {
            overwrite(bytes, at + from, &data[from..to]);
        } else if torn && random.percent(50) {
            let rubbish: Vec<u8> = (from..to).map(|_| random.draw() as u8).collect();
            overwrite(bytes, at + from, &rubbish);
        }
        from = to;
    }
}

fn overwrite(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    bytes.resize(bytes.len().max(at + data.len()), 0);
    bytes[at..at + data.len()].copy_from_slice(data);
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
