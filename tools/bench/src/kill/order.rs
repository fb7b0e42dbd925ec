//! What the rig reads in the file of a server that has stopped: in which order the documents lie, and of which commits.
//!
//! **Invariants that it checks**
//! - Each document lies there once, as it was created, and was sent; each that was acknowledged is there.
//! - The documents of one connection lie in the order in which it sent them, under commits that rise.
//! - Documents lie in the order of their commits, and no commit is without one: between two acknowledged documents there are as many
//!   commits as unanswered documents can have made, and none besides, up to the file's last.

use super::ledger::{Known, Ledger};
use anyhow::{Context, Result, bail, ensure};
use monolite_store::rusqlite::{Connection, OpenFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A document in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lies {
    n: u64,
    version: u64,
}

/// The last commit of the file.
pub(crate) fn commit(data: &Path) -> Result<u64> {
    let sequence = "SELECT sequence FROM _monolite";
    Ok(file(data)?.query_row(sequence, [], |row| row.get::<_, i64>(0))?.unsigned_abs())
}

/// Judges the file, which was at the commit `before` when the first document was sent. Answers how many unanswered documents are there.
pub(crate) fn judge(data: &Path, ledger: &Ledger, before: u64) -> Result<u64> {
    let file = file(data)?;
    let mut documents = file.prepare("SELECT key, version FROM documents ORDER BY seq")?;
    let rows = documents.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    let lies = rows.map(|row| {
        let (key, version) = row?;
        let n = key.strip_prefix('n').and_then(|n| n.parse().ok()).context("every key is a number")?;
        Ok(Lies { n, version: version.unsigned_abs() })
    });
    of(lies, ledger, before, commit(data)?)
}

fn file(data: &Path) -> Result<Connection> {
    Ok(Connection::open_with_flags(data.join("Documents/Documents.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?)
}

fn of(lies: impl Iterator<Item = Result<Lies>>, ledger: &Ledger, before: u64, last: u64) -> Result<u64> {
    let (mut seen, mut connections) = (BTreeSet::new(), BTreeMap::new());
    // The last commit that is known, and unanswered documents behind it.
    let (mut at, mut open, mut kept) = (before, 0, 0);
    for document in lies {
        let Lies { n, version } = document?;
        ensure!(seen.insert(n), "document {n} is there twice");
        ensure!(version == 1, "document {n} was written again: it is of version {version}");
        let connection = ledger.connection(n).with_context(|| format!("document {n} was never sent"))?;
        let commit = match ledger.of(n) {
            Known::TurnedAway => bail!("document {n} is there and was turned away"),
            Known::Unknown => bail!("document {n} was never sent"),
            Known::Unanswered => None,
            Known::Acknowledged(_) => ledger.commit(n),
        };
        if let Some((number, of)) = connections.insert(connection, (n, commit)) {
            ensure!(number < n, "document {n} lies behind {number} of the same connection");
            ensure!(
                of.zip(commit).is_none_or(|(of, commit)| of < commit),
                "documents {number} and {n} of one connection are of commits {of:?} and {commit:?}"
            );
        }
        match commit {
            None => (open, kept) = (open + 1, kept + 1),
            Some(commit) => {
                ensure!(commit >= at, "document {n} of commit {commit} lies behind one of commit {at}");
                let missing = (commit - at).saturating_sub(1);
                ensure!(
                    missing <= open,
                    "commits are missing between {at} and {commit}: {open} documents for {missing}"
                );
                (at, open) = (commit, 0);
            }
        }
    }
    let lost = ledger.acknowledged() - (seen.len() as u64 - kept);
    ensure!(lost == 0, "{lost} acknowledged documents are not in the file");
    ensure!(last >= at, "the file is at commit {last}, and {at} was acknowledged");
    ensure!(last - at <= open, "commits are missing between {at} and the last, {last}: {open} documents for them");
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two connections: 0, 2 and 4 of one, 1, 3 and 5 of the other; 3 and 4 have no answer. Commit 10 was before.
    fn ledger() -> Ledger {
        let ledger = Ledger::default();
        for n in 0..6 {
            assert_eq!(ledger.send(n % 2), n as u64);
        }
        for (n, commit) in [(0, 11), (1, 11), (2, 12), (5, 14)] {
            ledger.acknowledge(n, format!("id {n}"), commit);
        }
        ledger
    }

    fn judged(order: &[u64], last: u64) -> Result<u64> {
        of(order.iter().map(|n| Ok(Lies { n: *n, version: 1 })), &ledger(), 10, last)
    }

    fn found(order: &[u64], last: u64, words: &str) {
        let error = judged(order, last).unwrap_err().to_string();
        assert!(error.contains(words), "{order:?} up to {last}: {error}");
    }

    #[test]
    fn what_may_be_is_let_pass() {
        assert_eq!(judged(&[0, 1, 2, 3, 5], 14).unwrap(), 1);
        assert_eq!(judged(&[1, 0, 2, 3, 4, 5], 14).unwrap(), 2);
        assert_eq!(judged(&[0, 1, 2, 3, 5, 4], 15).unwrap(), 2, "the last commit was not answered");
    }

    #[test]
    fn each_word_of_the_promise_is_broken_once_and_found() {
        found(&[0, 1, 3, 5], 14, "commits are missing between 11 and 14");
        found(&[0, 1, 2, 2, 3, 5], 14, "2 is there twice");
        found(&[0, 1, 2, 3, 3, 5], 14, "3 is there twice"); // unknown, at most once
        found(&[0, 1, 2, 3, 5, 6], 15, "6 was never sent");
        found(&[0, 2, 1, 3, 5], 14, "commit 11 lies behind one of commit 12");
        found(&[1, 2, 0, 3, 5], 14, "0 lies behind 2 of the same connection");
        found(&[0, 1, 2, 5], 14, "commits are missing between 12 and 14");
        found(&[0, 1, 2, 3, 5], 15, "between 14 and the last, 15");
        found(&[0, 1, 2, 3, 5], 13, "the file is at commit 13");
        let turned = ledger();
        turned.turn_away(4);
        let five = [0, 1, 2, 3, 4, 5].map(|n| Ok(Lies { n, version: 1 })).into_iter();
        assert!(of(five, &turned, 10, 14).unwrap_err().to_string().contains("turned away"));
        found(&[0, 1, 2, 3], 13, "1 acknowledged documents are not in the file");
        let again = [Lies { n: 0, version: 2 }].into_iter().map(Ok);
        assert!(
            of(again, &ledger(), 10, 14).unwrap_err().to_string().contains("written again"),
            "a refused replacement"
        );
        let ledger = Ledger::default();
        assert_eq!((ledger.send(0), ledger.send(0)), (0, 1));
        ledger.acknowledge(0, "a".into(), 11);
        ledger.acknowledge(1, "b".into(), 11);
        let both = [0, 1].map(|n| Ok(Lies { n, version: 1 })).into_iter();
        let error = of(both, &ledger, 10, 11).unwrap_err().to_string();
        assert!(error.contains("of one connection"), "the second was sent after the first had its answer: {error}");
    }
}
