//! What must be true of a file, by what the clients were told.
//!
//! **Invariants that it checks**
//! - Every acknowledged write is there exactly once, under the commit and in the order that its answer named.
//! - A write that was answered with an error is not there; one without an answer is there once or not at all.
//! - Nothing is there that was not sent, and what is there is whole, byte by byte.
//! - The writes of one client are in the order in which it sent them.
//! - The commit sequence has no gap and is no lower than the last that was answered, or that a read was shown.

use super::step::{CLIENTS, body, chained, client, heap};
use crate::disk::{Fate, Note};
use anyhow::{Result, bail, ensure};
use monolite_store::{Error, Store};
use std::collections::{BTreeMap, BTreeSet};

/// Commits of a file that hold no write of a client: its making, and two quick migrations.
const OWN_COMMITS: u64 = 3;

/// What the clients know.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    fates: BTreeMap<u64, Fate>,
    last: u64,
}

/// One write that is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its number in the log.
    pub n: i64,
    /// Which write.
    pub op: u64,
    /// The commit that it believed to be in.
    pub sequence: u64,
}

/// What one snapshot of a file holds.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The snapshot's commit.
    pub sequence: u64,
    /// The log.
    pub rows: Vec<Row>,
    chain: (i64, i64),
    heap: BTreeMap<i64, u64>,
    batches: u64,
    damaged: Option<u64>,
}

impl Knowledge {
    /// Takes a note.
    pub fn learn(&mut self, note: Note) {
        match note {
            Note::Sent(op) => {
                self.fates.entry(op).or_insert(Fate::Open);
            }
            Note::Answered(op, fate) => {
                if let Fate::Done { sequence, .. } = fate {
                    self.last = self.last.max(sequence);
                }
                self.fates.insert(op, fate);
            }
            Note::Seen(sequence) => self.last = self.last.max(sequence),
        }
    }

    /// What had no answer is decided by what was found: it may not change any more.
    pub fn settle(&mut self, found: &Found) {
        let there: BTreeSet<u64> = found.rows.iter().map(|r| r.op).collect();
        for (op, fate) in &mut self.fates {
            if matches!(fate, Fate::Open | Fate::Unknown) {
                *fate = if there.contains(op) { Fate::Kept } else { Fate::NotDone };
            }
        }
        // Not the file's own sequence: what was looked at may be a copy, in which a migration went on.
        self.last = self.last.max(found.rows.last().map_or(0, |row| row.sequence));
    }

    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.fates.values().filter(|f| matches!(f, Fate::Done { .. })).count() as u64
    }

    /// Compares a file with what is known.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn judge(&self, found: &Found) -> Result<()> {
        ensure!(
            found.sequence >= self.last,
            "commit {} was answered or seen, the file is at {}",
            self.last,
            found.sequence
        );
        let mut there = BTreeSet::new();
        for row in &found.rows {
            ensure!(there.insert(row.op), "write {} is there twice", row.op);
            match self.fates.get(&row.op) {
                None => bail!("write {} was never sent", row.op),
                Some(Fate::NotDone) => bail!("write {} was answered with an error and is there", row.op),
                Some(Fate::Done { sequence, .. }) if *sequence != row.sequence => {
                    bail!("write {} was answered as of commit {sequence} and is of {}", row.op, row.sequence)
                }
                _ => {}
            }
        }
        for (op, fate) in &self.fates {
            ensure!(
                *fate != Fate::Kept || there.contains(op),
                "write {op} was there after an earlier crash and is lost"
            );
            if let Fate::Done { sequence, place } = fate {
                ensure!(
                    there.contains(op),
                    "write {op} was acknowledged (commit {sequence}, place {place}) and is lost"
                );
            }
        }
        self.in_order(found)?;
        found.is_whole()
    }

    fn in_order(&self, found: &Found) -> Result<()> {
        let mut last = (0, 0, 0);
        let mut of_client = [0; CLIENTS as usize];
        for row in &found.rows {
            if let Some(Fate::Done { sequence, place }) = self.fates.get(&row.op) {
                let this = (*sequence, *place, row.op);
                let rises = last == (0, 0, 0) || (this.0, this.1) > (last.0, last.1);
                ensure!(rises, "write {this:?} (commit, place, number) is in the file behind {last:?}");
                last = this;
            }
            let before = &mut of_client[client(row.op) as usize];
            ensure!(*before <= row.op, "write {} came after a later one of the same client", row.op);
            *before = row.op;
        }
        Ok(())
    }
}

impl Found {
    /// Reads all that the rigs wrote, from one snapshot.
    ///
    /// # Errors
    /// What the store answers.
    pub fn read(store: &Store) -> Result<Found, Error> {
        store.read_blocking(|s| {
            let mut found = Found { sequence: s.sequence(), ..Found::default() };
            let mut log = s.prepare("SELECT n, op, sequence, body FROM log ORDER BY n")?;
            let mut rows = log.query([])?;
            while let Some(r) = rows.next()? {
                let row = Row { n: r.get(0)?, op: r.get::<_, i64>(1)? as u64, sequence: r.get::<_, i64>(2)? as u64 };
                found.is_damaged_unless(r.get_ref(3)?.as_blob().ok(), row.op);
                found.rows.push(row);
            }
            found.chain = s.query_row("SELECT n, h FROM chain", [], |r| Ok((r.get(0)?, r.get(1)?)))?;
            let mut heap = s.prepare("SELECT k, op, body FROM heap")?;
            let mut rows = heap.query([])?;
            while let Some(r) = rows.next()? {
                let op = r.get::<_, i64>(1)? as u64;
                found.is_damaged_unless(r.get_ref(2)?.as_blob().ok(), op);
                found.heap.insert(r.get(0)?, op);
            }
            found.batches = s.query_row("SELECT count(*) FROM batch", [], |r| r.get::<_, i64>(0))? as u64;
            Ok(found)
        })
    }

    fn is_damaged_unless(&mut self, stored: Option<&[u8]>, op: u64) {
        if stored != Some(&body(op)) {
            self.damaged.get_or_insert(op);
        }
    }

    /// Whether the state is one that its own writes lead to.
    fn is_whole(&self) -> Result<()> {
        if let Some(op) = self.damaged {
            bail!("write {op} is there with other bytes");
        }
        let (mut h, mut kept) = (0, BTreeMap::new());
        let (mut commits, mut last) = (0, 0);
        for (row, n) in self.rows.iter().zip(1..) {
            ensure!(row.n == n, "write {} has number {} in the log and is the {n}th", row.op, row.n);
            ensure!(row.sequence >= last, "write {} of commit {} is behind one of {last}", row.op, row.sequence);
            commits += u64::from(row.sequence > last);
            last = row.sequence;
            h = chained(h, row.op);
            match heap(row.op) {
                (k, true) => drop(kept.remove(&k)),
                (k, false) => drop(kept.insert(k, row.op)),
            }
        }
        let end = (self.rows.len() as i64, h);
        ensure!(self.chain == end, "the chain ends with {:?}, and its writes lead to {end:?}", self.chain);
        ensure!(self.heap == kept, "the heap is {:?}, and its writes lead to {kept:?}", self.heap);
        let expected = OWN_COMMITS + self.batches + commits;
        ensure!(self.sequence == expected, "the sequence is {}, and there were {expected} commits", self.sequence);
        Ok(())
    }
}
