//! One write of the rigs, and how it ends.

use crate::random::mix;
use monolite_store::{Error, Kind, Tx};

/// Clients whose writes must stay in order.
pub(crate) const CLIENTS: u64 = 4;
/// Rows that writes change again and again.
const HEAP: u64 = 24;

/// How a write ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Well.
    Well,
    /// Its closure refuses, after its changes.
    Refuse,
    /// It panics, after its changes.
    Panic,
    /// SQLite ends the whole transaction under it.
    Rollback,
    /// The same, and it says that all is well.
    HiddenRollback,
    /// It leaves a foreign key violated.
    Orphan,
    /// Its deadline is over when its turn comes.
    Late,
    /// Its caller goes away before its turn.
    Dropped,
}

/// All ends.
pub(super) const ENDS: [End; 8] =
    [End::Well, End::Refuse, End::Panic, End::Rollback, End::HiddenRollback, End::Orphan, End::Late, End::Dropped];

/// The client of a write.
pub(super) fn client(op: u64) -> u64 {
    op % CLIENTS
}

/// The next link of the chain.
pub fn chained(h: i64, op: u64) -> i64 {
    mix((h as u64) ^ mix(op)) as i64
}

/// What a write stores; of a length from bytes to some pages.
pub(super) fn body(op: u64) -> Vec<u8> {
    let r = mix(op ^ 0x5EED);
    let length = match r % 16 {
        0..11 => 20 + (r >> 8) % 200,
        11..15 => 200 + (r >> 8) % 3000,
        _ => 3000 + (r >> 8) % 9000,
    };
    let mut body = Vec::with_capacity(length as usize + 8);
    while body.len() < length as usize {
        body.extend_from_slice(&mix(op ^ (body.len() as u64) << 32).to_le_bytes());
    }
    body
}

/// What a write does to the heap: a key, and whether it goes.
pub(super) fn heap(op: u64) -> (i64, bool) {
    let r = mix(op ^ 0xBEA9);
    ((r % HEAP) as i64, (r >> 32).is_multiple_of(5))
}

/// Does a write; answers its number in the log and the chain's new end.
pub fn add(tx: &Tx<'_>, op: u64, end: End) -> Result<(i64, i64), Error> {
    let (n, h) = tx.query_row("SELECT n, h FROM chain WHERE id = 1", [], |r| Ok((r.get::<_, i64>(0)?, r.get(1)?)))?;
    let (n, h, body) = (n + 1, chained(h, op), body(op));
    let sequence = tx.sequence() as i64 + 1;
    tx.execute("INSERT INTO log VALUES(?1, ?2, ?3, ?4)", (n, op as i64, sequence, &body))?;
    let (k, goes) = heap(op);
    if goes {
        tx.execute("DELETE FROM heap WHERE k = ?1", [k])?;
    } else {
        tx.execute("INSERT OR REPLACE INTO heap VALUES(?1, ?2, ?3)", (k, op as i64, &body))?;
    }
    tx.execute("UPDATE chain SET n = ?1, h = ?2 WHERE id = 1", (n, h))?;
    match end {
        End::Well | End::Late | End::Dropped => Ok((n, h)),
        End::Refuse => Err(Error::new(Kind::Invalid, "refused")),
        End::Panic => std::panic::resume_unwind(Box::new("a write of the rig")), // without a message on stderr
        End::Rollback => tx.execute("INSERT INTO trap VALUES(1)", []).map(|_| (n, h)),
        End::HiddenRollback => {
            let _ = tx.execute("INSERT INTO trap VALUES(1)", []);
            Ok((n, h))
        }
        End::Orphan => tx.execute("INSERT INTO child VALUES(?1, 77)", [op as i64]).map(|_| (n, h)),
    }
}
