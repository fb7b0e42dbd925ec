//! A store against a model: any mix of writes, failures, panics and restarts is as if the acknowledged writes had run one
//! after another in the order of their commit and place.
//!
//! **Invariants checked**
//! - What a write read is what the model holds at its place; what it wrote is there, now and after a restart.
//! - A write that was answered with an error changed nothing.
//! - Numbers (sequence and place) rise in the order in which the writes were queued.

use monolite_store::{Config, Error, Kind, Migration, Migrations, Store, Ticket, Tx, Written};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

const SCHEMA: &str = "
CREATE TABLE kv(k INTEGER PRIMARY KEY, v INTEGER NOT NULL) STRICT;
CREATE TABLE child(id INTEGER PRIMARY KEY, k INTEGER REFERENCES kv DEFERRABLE INITIALLY DEFERRED) STRICT;
CREATE TABLE trap(x INTEGER) STRICT;
CREATE TRIGGER trapped BEFORE INSERT ON trap BEGIN SELECT RAISE(ROLLBACK, 'trapped'); END;";

/// One write: it reads and raises a key, and ends as it says.
#[derive(Debug, Clone)]
struct Op {
    key: i64,
    add: i64,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Well,
    /// Reads only.
    Unchanged,
    Error,
    Panic,
    /// SQLite ends the whole transaction.
    Rollback,
    /// The same, and the closure says that all is well.
    HiddenRollback,
    /// Leaves a deferred foreign key violated.
    Orphan,
    /// Leaves a statement in the middle of its rows.
    Leak,
}

#[derive(Debug, Clone)]
enum Step {
    /// Writes that wait together.
    Together(Vec<Op>),
    Close,
    Abandon,
}

fn op() -> impl Strategy<Value = Op> {
    let end = prop_oneof![
        8 => Just(End::Well), 1 => Just(End::Unchanged), 1 => Just(End::Error), 1 => Just(End::Panic),
        1 => Just(End::Rollback), 1 => Just(End::HiddenRollback), 1 => Just(End::Orphan), 1 => Just(End::Leak),
    ];
    (0..6i64, 1..1000i64, end).prop_map(|(key, add, end)| Op { key, add, end })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(op(), 1..24).prop_map(Step::Together),
        1 => Just(Step::Close),
        1 => Just(Step::Abandon),
    ]
}

/// Answers what the key held before.
fn run(tx: &Tx<'_>, op: &Op) -> Result<i64, Error> {
    let before = match tx.query_row("SELECT v FROM kv WHERE k = ?1", [op.key], |r| r.get(0)) {
        Err(e) if e.kind() == Kind::NoRows => 0,
        other => other?,
    };
    if op.end == End::Unchanged {
        return Ok(before);
    }
    tx.execute("INSERT INTO kv VALUES (?1, ?2) ON CONFLICT(k) DO UPDATE SET v = v + ?2", [op.key, op.add])?;
    match op.end {
        End::Error => return Err(Error::new(Kind::Invalid, "on purpose")),
        End::Panic => panic!("on purpose"),
        End::Rollback => drop(tx.execute("INSERT INTO trap VALUES (1)", [])?),
        End::HiddenRollback => drop(tx.execute("INSERT INTO trap VALUES (1)", [])),
        End::Orphan => drop(tx.execute("INSERT INTO child(k) VALUES (99)", [])?),
        End::Leak => {
            let mut statement = tx.prepare("SELECT k FROM kv UNION ALL SELECT k FROM kv")?;
            let mut rows = statement.query([])?;
            rows.next()?;
            std::mem::forget(rows);
            std::mem::forget(statement);
        }
        End::Well | End::Unchanged => {}
    }
    Ok(before)
}

fn open(path: &Path, group: usize) -> Store {
    let config = Config { group_writes_max: group, wal_soft_bytes: 100_000, ..Config::default() };
    Store::open(path, config, Migrations::new(vec![Migration::Quick { name: "0001", sql: SCHEMA }])).expect("opens")
}

/// Queues all while the writer is busy, then waits for the answers.
fn together(store: &Store, ops: &[Op]) -> Vec<Result<Written<i64>, Error>> {
    let (go, wait) = sync_channel::<()>(1);
    let (entered, is_in) = sync_channel::<()>(1);
    let wait = Mutex::new(wait);
    let holder = store.write(move |_| {
        let _ = entered.try_send(());
        let _ = wait.lock().expect("one thread").recv();
        Ok::<_, Error>(())
    });
    is_in.recv().expect("the writer is held");
    let queue = |op: &Op| {
        let op = op.clone();
        store.write_with(Ticket::label("op"), move |tx| run(tx, &op))
    };
    let writes: Vec<_> = ops.iter().map(queue).collect();
    drop(go);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        holder.await.expect("the holder's own write");
        let mut answers = Vec::new();
        for write in writes {
            answers.push(write.await);
        }
        answers
    })
}

fn contents(store: &Store) -> BTreeMap<i64, i64> {
    let all = store.read_blocking(|s| {
        let mut statement = s.prepare("SELECT k, v FROM kv")?;
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok::<_, Error>(rows.collect::<Result<_, _>>()?)
    });
    all.expect("reads")
}

/// Writes of one tenant apply in the order they were queued, which is that of their numbers; a write that changed nothing
/// in a group that changed nothing carries the last number.
fn compare(ops: &[Op], answers: Vec<Result<Written<i64>, Error>>, model: &mut BTreeMap<i64, i64>, last: &mut u64) {
    let mut place_before = (*last, u32::MAX);
    for (op, answer) in ops.iter().zip(answers) {
        let written = match (op.end, answer) {
            (End::Well | End::Unchanged | End::Leak, Ok(written)) => written,
            (End::Error, Err(e)) if e.kind() == Kind::Invalid => continue,
            (End::Panic, Err(e)) if e.kind() == Kind::Panicked => continue,
            (End::Rollback | End::Orphan, Err(e)) if e.kind() == Kind::Constraint => continue,
            (End::HiddenRollback, Err(e)) if e.kind() == Kind::Internal => continue,
            (end, answer) => panic!("{end:?} was answered with {answer:?}"),
        };
        assert_eq!(written.value, model.get(&op.key).copied().unwrap_or(0), "{op:?} read something else");
        *last = written.sequence;
        assert!(written.sequence >= place_before.0, "the sequence went down");
        if op.end != End::Unchanged {
            let place = (written.sequence, written.place);
            assert!(place > place_before, "{place:?} behind {place_before:?}");
            place_before = place;
            *model.entry(op.key).or_default() += op.add;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn acknowledged_writes_are_as_if_run_one_by_one(steps in prop::collection::vec(step(), 1..10), group in 1..30usize) {
        quietly();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("S.db");
        let mut store = open(&path, group);
        let mut model = BTreeMap::new();
        let mut last = store.sequence();
        for step in steps {
            match step {
                Step::Together(ops) => {
                    let answers = together(&store, &ops);
                    compare(&ops, answers, &mut model, &mut last);
                }
                Step::Close => { store.close().expect("closes"); store = open(&path, group); }
                Step::Abandon => { store.abandon(); store = open(&path, group); }
            }
            assert_eq!(contents(&store), model);
            assert_eq!(store.sequence(), last);
        }
        assert_eq!(store.check().expect("checks").problems, Vec::<String>::new());
    }
}

/// Panics on purpose need no words on the terminal.
fn quietly() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"on purpose") {
                usual(info);
            }
        }));
    });
}
