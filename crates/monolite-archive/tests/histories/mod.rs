//! Random histories: a database changed in WAL mode, its frames captured, and what each commit left behind.
//!
//! The frames are read from the `-wal` by a few lines of their own; what they must lead to is asked from SQLite, page by page
//! through `sqlite_dbpage`, so that capture and oracle have nothing in common.

#![allow(dead_code, unreachable_pub)] // each test binary uses a part

use monolite_archive::{BASES, History, Kind, Level, Manifest, Place, Plan, Segment, Target, claim, compact, ltx};
use monolite_store::rusqlite::functions::{Context, FunctionFlags};
use monolite_store::rusqlite::{self, Connection};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Random numbers from a seed: a failing history is its seed.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The pages of the file after a commit; equal ones are shared.
pub type State = Vec<Arc<[u8]>>;

/// A commit and what it left.
pub struct Commit {
    pub at_ms: i64,
    pub state: State,
}

/// A database, its history in a place, and the truth about it.
pub struct World {
    pub random: Random,
    pub history: History,
    pub page_size: u32,
    /// Commit 1 is the first.
    pub commits: Vec<Commit>,
    scratch: PathBuf,
    db: Connection,
    wal: PathBuf,
    /// Salts of the WAL's generation that was read, and up to where.
    read: ([u8; 8], usize),
    /// Pages of commits that are not archived yet.
    pending: BTreeMap<u32, Vec<u8>>,
    pending_from: u64,
    at_ms: i64,
    tables: u64,
}

impl World {
    pub fn new(seed: u64, page_size: u32, auto_vacuum: u32, place: Arc<dyn Place>, scratch: &Path) -> World {
        let path = scratch.join("world.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch(&format!(
            "PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = {auto_vacuum}; PRAGMA journal_mode = WAL;
             PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF; PRAGMA cache_size = 12; PRAGMA foreign_keys = OFF;"
        ))
        .unwrap();
        let random = Mutex::new(Random::new(!seed));
        let noise = move |context: &mut Context<'_>| {
            let mut random = random.lock().unwrap();
            let length = random.below(context.get::<u64>(0)?);
            Ok((0..length).map(|_| random.next().to_le_bytes()[0]).collect::<Vec<u8>>())
        };
        db.create_scalar_function("noise", 1, FunctionFlags::SQLITE_UTF8, noise).unwrap();
        let history = History::new(place, "World", "0123456789abcdef0123456789abcdef").unwrap();
        let (wal, scratch) = (scratch.join("world.db-wal"), scratch.to_owned());
        let mut world = World {
            random: Random::new(seed),
            history,
            page_size,
            commits: Vec::new(),
            scratch,
            db,
            wal,
            read: ([0; 8], 0),
            pending: BTreeMap::new(),
            pending_from: 1,
            at_ms: 1_760_000_000_000,
            tables: 0,
        };
        world.run("CREATE TABLE t0 (id INTEGER PRIMARY KEY, body BLOB, tag TEXT)");
        // What lies beside the segments, litestream has to pass over.
        let begun_ms = world.commit(1).at_ms;
        let (service, id) = ("World".into(), "0123456789abcdef0123456789abcdef".into());
        Manifest { format: 3, service, history: id, page_size, begun_ms }.settle(&world.history).unwrap();
        claim(&world.history, 1, "a nonce", begun_ms).unwrap();
        // The first commit is the base that litestream needs to begin with.
        world.archive(BASES);
        world
    }

    /// The clock steps back.
    pub fn turn_back(&mut self, ms: i64) {
        self.at_ms -= ms;
    }

    pub fn last(&self) -> u64 {
        self.commits.len() as u64
    }

    /// Commits changes at random, archiving and merging now and then.
    pub fn live(&mut self, commits: u64) {
        for _ in 0..commits {
            let sql = self.change();
            self.run(&sql);
            if self.random.one_in(2) {
                self.archive(Level::CAPTURED);
            }
            if self.random.one_in(6) {
                let mode = ["PASSIVE", "RESTART", "TRUNCATE"][self.random.below(3) as usize];
                self.run(&format!("PRAGMA wal_checkpoint({mode})"));
            }
            if self.random.one_in(9) {
                self.merge();
            }
        }
        self.archive(Level::CAPTURED);
    }

    fn change(&mut self) -> String {
        let n = self.tables;
        let r = &mut self.random;
        let table = r.below(n + 1);
        let rows = |count: u64, bytes: u64| {
            format!(
                "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {count}) INSERT INTO t{table} (body, tag) SELECT noise({bytes}), hex(noise(8)) || x FROM c"
            )
        };
        match r.below(14) {
            0..=3 => rows(1 + r.below(5), 3_000),
            4 => rows(200 + r.below(400), 900), // larger than the cache of 12 pages: SQLite spills into the WAL
            5 | 6 => format!("DELETE FROM t{table} WHERE id % {} = 0", 1 + r.below(4)),
            7 => format!("UPDATE t{table} SET body = zeroblob(length(body) / 2) WHERE id % 3 = {}", r.below(3)),
            8 => format!("CREATE INDEX IF NOT EXISTS i{table} ON t{table} (tag)"),
            9 => format!("DROP INDEX IF EXISTS i{table}"),
            10 => {
                self.tables += 1;
                format!("CREATE TABLE t{} (id INTEGER PRIMARY KEY, body BLOB, tag TEXT)", self.tables)
            }
            11 => "VACUUM".into(),
            12 => format!("PRAGMA incremental_vacuum({})", 1 + r.below(20)),
            _ => format!(
                "BEGIN; {}; SAVEPOINT s; {}; ROLLBACK TO s; DELETE FROM t{table} WHERE id = 1; COMMIT",
                rows(30, 500),
                rows(300, 900)
            ),
        }
    }

    /// Runs SQL and takes in the commit that it made, if any.
    pub fn run(&mut self, sql: &str) {
        self.db.execute_batch(sql).unwrap();
        let bytes = std::fs::read(&self.wal).unwrap_or_default();
        let frame = 24 + self.page_size as usize;
        if bytes.len() < 32 {
            return;
        }
        let salts: [u8; 8] = bytes[16..24].try_into().unwrap();
        if salts != self.read.0 {
            self.read = (salts, 32);
        }
        let before = self.commits.last().map_or(0, |commit| commit.state.len() as u32);
        let mut changed = BTreeMap::new();
        let mut pages = None;
        let mut at = self.read.1;
        while at + frame <= bytes.len() && bytes[at + 8..at + 16] == salts {
            let number = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            let commit = u32::from_be_bytes(bytes[at + 4..at + 8].try_into().unwrap());
            changed.insert(number, bytes[at + 24..at + frame].to_vec());
            at += frame;
            if commit != 0 {
                pages = Some(commit);
                self.read.1 = at;
                break; // what follows was spilled and rolled back: its sums would say so
            }
        }
        let Some(pages) = pages else { return };
        for number in before + 1..=pages {
            changed.entry(number).or_insert_with(|| vec![0; self.page_size as usize]);
        }
        changed.retain(|number, _| *number <= pages);
        self.pending.extend(changed);
        self.pending.retain(|number, _| *number <= pages);
        self.at_ms += 1 + self.random.below(1_000) as i64;
        let state = self.state();
        assert_eq!(state.len(), pages as usize);
        self.commits.push(Commit { at_ms: self.at_ms, state });
    }

    /// The pages as SQLite has them.
    fn state(&self) -> State {
        let last = self.commits.last().map_or(&[][..], |commit| &commit.state);
        let other = Connection::open(self.scratch.join("world.db")).unwrap();
        let mut pages = other.prepare("SELECT pgno, data FROM sqlite_dbpage").unwrap();
        let rows = pages.query_map([], |row| {
            let (number, data): (usize, Vec<u8>) = (row.get(0)?, row.get(1)?);
            Ok(match last.get(number - 1) {
                Some(page) if **page == *data => Arc::clone(page),
                _ => Arc::from(data),
            })
        });
        rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    /// Puts what was captured as one segment.
    pub fn archive(&mut self, level: Level) {
        let last = self.last();
        if last < self.pending_from {
            return;
        }
        let commit = self.commits.last().unwrap();
        let header = ltx::Header {
            page_size: self.page_size,
            pages: commit.state.len() as u32,
            first: self.pending_from,
            last,
            at_ms: commit.at_ms,
            epoch: 1,
        };
        let mut encoder = ltx::Encoder::begin(Vec::new(), header).unwrap();
        for (number, page) in std::mem::take(&mut self.pending) {
            encoder.page(number, &page).unwrap();
        }
        self.history.put(level, &header, &encoder.finish().unwrap().to).unwrap();
        self.pending_from = last + 1;
    }

    /// Merges some segments that follow each other into one of a higher level; now and then into a base.
    pub fn merge(&mut self) {
        let all = self.history.segments().unwrap();
        let level = self.random.below(4) as u8;
        let from: Vec<&Segment> = all.iter().filter(|s| s.level.number() == level && !s.name.is_base()).collect();
        let count = 2 + self.random.below(5) as usize;
        if from.len() < count {
            return;
        }
        let at = self.random.below((from.len() - count + 1) as u64) as usize;
        let inputs: Vec<Segment> = from[at..at + count].iter().map(|s| **s).collect();
        if inputs.windows(2).any(|pair| pair[1].name.first != pair[0].name.last + 1) {
            return;
        }
        let into_base = self.random.one_in(4);
        let (inputs, level) = if into_base {
            let last = inputs.last().unwrap().name.last;
            let plan = monolite_archive::plan(&self.history, monolite_archive::Target::Sequence(last)).unwrap();
            (plan.segments().to_vec(), BASES)
        } else {
            (inputs, Level::new(level + 1).unwrap())
        };
        match compact(&self.history, &inputs, level, &self.scratch) {
            Err(e) if e.kind() == monolite_archive::Kind::Exists => return,
            other => drop(other.unwrap()),
        }
        if !into_base && self.random.one_in(2) {
            inputs.iter().for_each(|segment| self.history.delete(segment).unwrap());
        }
    }

    /// The commits that a segment ends with, but for those to which nothing leads by itself any more: what did was merged.
    pub fn ends(&self) -> Vec<u64> {
        let segments = self.history.segments().unwrap();
        let mut ends: Vec<u64> = segments.iter().map(|s| s.name.last).collect();
        ends.sort_unstable();
        ends.dedup();
        let merged = |end: &u64| {
            let plan = Plan::to(&segments, Target::Sequence(*end), |s| Ok(s.created_ms));
            plan.is_err_and(|e| e.kind() == Kind::Within)
        };
        ends.retain(|end| !merged(end));
        ends
    }

    pub fn commit(&self, sequence: u64) -> &Commit {
        &self.commits[sequence as usize - 1]
    }

    /// The file has exactly the pages of that commit.
    pub fn check(&self, sequence: u64, file: &Path, who: &str) {
        self.compare(sequence, file, who, false);
    }

    /// As [`World::check`], but for what another program writes of its own: the change counter and version of page 1.
    pub fn check_but_counters(&self, sequence: u64, file: &Path, who: &str) {
        self.compare(sequence, file, who, true);
    }

    fn compare(&self, sequence: u64, file: &Path, who: &str, mask: bool) {
        let bytes = std::fs::read(file).unwrap();
        let state = &self.commit(sequence).state;
        let size = self.page_size as usize;
        assert_eq!(bytes.len(), state.len() * size, "{who}, commit {sequence}: size");
        for (number, (restored, was)) in bytes.chunks(size).zip(state).enumerate() {
            let (mut restored, mut was) = (restored.to_vec(), was.to_vec());
            if mask && number == 0 {
                for range in [18..20, 24..28, 92..100] {
                    restored[range.clone()].fill(0);
                    was[range].fill(0);
                }
            }
            let free = || free_leaves(state).contains(&(number as u32 + 1));
            assert!(restored == was || free(), "{who}, commit {sequence}: page {} differs", number + 1);
        }
    }
}

/// Pages on the freelist whose content means nothing. A file that shrank and grew again shows older bytes there.
fn free_leaves(state: &State) -> BTreeSet<u32> {
    let word = |page: &[u8], at: usize| u32::from_be_bytes(page[at..at + 4].try_into().unwrap());
    let mut leaves = BTreeSet::new();
    let mut trunk = word(&state[0], 32);
    while trunk != 0 {
        let page = &state[trunk as usize - 1];
        leaves.extend((0..word(page, 4) as usize).map(|n| word(page, 8 + 4 * n)));
        trunk = word(page, 0);
    }
    leaves
}
