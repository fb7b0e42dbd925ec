//! Migrations on a store's real file: quick ones at open, stepwise ones between other writes and over restarts.

use monolite_store::{
    Config, Cursor, Error, Kind, Migration, Migrations, Progress, State, Stepwise, Store, Tx, migrations,
};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const ROWS: i64 = 5_000;
const FIRST: Migration = Migration::Quick {
    name: "0001_rows",
    sql: "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT NOT NULL, n INTEGER) STRICT;
          WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i < 5000) INSERT INTO t(id, v) SELECT i, 'v' || i FROM s;",
};
const LAST: Migration = Migration::Quick { name: "0003_not_null", sql: "CREATE UNIQUE INDEX by_n ON t(n)" };

/// Fills `n`, a hundred rows a batch; a row filled twice would differ.
fn backfill(tx: &Tx<'_>, cursor: &mut Cursor) -> Result<Progress, Error> {
    let to = cursor.0 + 100;
    tx.execute("UPDATE t SET n = coalesce(n, 0) + id * 10 WHERE id > ?1 AND id <= ?2", [cursor.0, to])?;
    cursor.0 = to;
    Ok(if to >= ROWS { Progress::Done } else { Progress::More })
}

static BACKFILL: Stepwise = Stepwise { name: "0002_backfill", step: backfill };

fn open(path: &Path, steps: &[Migration]) -> Result<Store, Error> {
    Store::open(path, Config::default(), Migrations::new(steps))
}

fn number(store: &Store, sql: &'static str) -> i64 {
    store.read_blocking(|s| s.query_row(sql, [], |r| r.get(0))).expect("reads")
}

/// Waits for a condition by writing: a stepwise migration makes progress between writes.
fn write_until(store: &Store, done: impl Fn() -> bool) -> u64 {
    let end = Instant::now() + Duration::from_secs(60);
    let mut writes = 0;
    while !done() {
        assert!(Instant::now() < end, "no progress: {:?}", store.status());
        store
            .write_blocking(|tx| tx.execute("UPDATE t SET v = v || '.' WHERE id = 1", []))
            .expect("writes go on meanwhile");
        writes += 1;
    }
    writes
}

fn filled_once(store: &Store) -> bool {
    number(store, "SELECT count(*) FROM t WHERE n = id * 10") == ROWS
}

#[test]
fn stepwise_migration_runs_between_other_writes_and_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let steps = [FIRST, Migration::Stepwise(&BACKFILL)];
    let store = open(&path, &steps).unwrap();
    write_until(&store, || filled_once(&store));
    let sequence = store.sequence();
    store.close().unwrap();
    let store = open(&path, &steps).unwrap();
    assert_eq!(store.sequence(), sequence, "nothing was left to do");
    assert!(filled_once(&store));
    store.close().unwrap();
    assert_eq!(open(&path, &[FIRST]).err().map(|e| e.kind()), Some(Kind::Newer));
}

#[test]
fn stepwise_migration_goes_on_after_crashes_where_it_stood() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let steps = [FIRST, Migration::Stepwise(&BACKFILL)];
    for _ in 0..30 {
        let store = open(&path, &steps).unwrap();
        store.write_blocking(|tx| tx.execute("UPDATE t SET v = v || '.' WHERE id = 1", [])).unwrap();
        store.abandon();
    }
    let store = open(&path, &steps).unwrap();
    write_until(&store, || filled_once(&store));
}

#[test]
fn quick_step_behind_a_stepwise_one_makes_it_run_to_its_end_at_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    open(&path, &[FIRST]).unwrap().close().unwrap();
    let store = open(&path, &[FIRST, Migration::Stepwise(&BACKFILL), LAST]).unwrap();
    assert!(filled_once(&store));
    assert_eq!(number(&store, "SELECT count(*) FROM sqlite_schema WHERE name = 'by_n'"), 1);
    store.close().unwrap();
    open(&path, &[FIRST, Migration::Stepwise(&BACKFILL), LAST]).unwrap();
}

static BROKEN: AtomicBool = AtomicBool::new(true);
static SOMETIMES: Stepwise = Stepwise {
    name: "0002_sometimes",
    step: |tx, cursor| {
        if cursor.0 >= 1000 && BROKEN.load(SeqCst) {
            tx.execute("UPDATE t SET n = -1", [])?;
            return Err(Error::new(Kind::Invalid, "not today"));
        }
        backfill(tx, cursor)
    },
};

#[test]
fn failing_batch_is_undone_told_and_tried_again_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let steps = [FIRST, Migration::Stepwise(&SOMETIMES)];
    let store = open(&path, &steps).unwrap();
    write_until(&store, || store.status().trouble.is_some());
    assert_eq!(store.status().state, State::Serving);
    assert!(store.status().trouble.unwrap().contains("0002_sometimes"));
    assert_eq!(number(&store, "SELECT count(*) FROM t WHERE n = id * 10"), 1000);
    assert_eq!(number(&store, "SELECT count(*) FROM t WHERE n IS NULL"), ROWS - 1000);
    store.close().unwrap();
    BROKEN.store(false, SeqCst);
    let store = open(&path, &steps).unwrap();
    write_until(&store, || filled_once(&store));
}

static PRIVILEGED: Stepwise = Stepwise {
    name: "0002_privileged",
    step: |tx, _| tx.execute("UPDATE _monolite SET sequence = 0", []).map(|_| Progress::Done),
};

#[test]
fn stepwise_migration_has_no_more_rights_than_a_write() {
    let folder = tempfile::tempdir().unwrap();
    let steps = [FIRST, Migration::Stepwise(&PRIVILEGED), LAST];
    let e = open(&folder.path().join("S.db"), &steps).err().expect("refused");
    assert_eq!(e.kind(), Kind::Denied, "{e}");
    assert!(e.to_string().contains("0002_privileged"), "{e}");
}

#[test]
fn refused_migration_leaves_the_file_to_the_program_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    open(&path, &[FIRST]).unwrap().close().unwrap();
    let bad = Migration::Quick {
        name: "0002_bad",
        sql: "ALTER TABLE t ADD COLUMN x TEXT;\nINSERT INTO t(id, v) VALUES (1, 'again');",
    };
    let e = open(&path, &[FIRST, bad]).err().expect("refused");
    assert_eq!(e.kind(), Kind::Constraint);
    for words in ["S.db", "0002_bad", "statement 2", "line 2"] {
        assert!(e.to_string().contains(words), "{words:?} is not in: {e}");
    }
    let store = open(&path, &[FIRST]).unwrap();
    assert_eq!(number(&store, "SELECT count(*) FROM sqlite_schema WHERE name = 't' AND sql LIKE '%x TEXT%'"), 0);
}

#[test]
fn list_is_made_by_the_macro_from_files_and_steps() {
    let list = migrations![quick "fixtures/0001_words.sql", stepwise BACKFILL];
    let names: Vec<_> = list.steps().iter().map(Migration::name).collect();
    assert_eq!(names, ["fixtures/0001_words.sql", "0002_backfill"]);
}
