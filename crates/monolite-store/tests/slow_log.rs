//! What is told of slow work: statements in errors, in the slow log with their plans, and of who holds the writer.

#![allow(clippy::unwrap_used)]

use monolite_store::{Config, Error, Kind, Migration, Migrations, Observer, SlowRun, SlowWork, Store, Tenant, Ticket};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB) STRICT; CREATE INDEX by_v ON t(v);";
const ENDLESS: &str = "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s) INSERT INTO t(id) SELECT i FROM s";
const COUNT: &str = "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s LIMIT ?1) SELECT sum(i) FROM s";

struct Tell(Mutex<SyncSender<SlowRun>>);

impl Observer for Tell {
    fn slow(&self, run: &SlowRun) {
        let _ = self.0.lock().unwrap().send(run.clone());
    }
}

fn open(folder: &tempfile::TempDir, config: Config) -> Store {
    let migrations = Migrations::new(vec![Migration::Quick { name: "0001", sql: SCHEMA }]);
    Store::open(folder.path().join("S/S.db"), config, migrations).unwrap()
}

fn soon(label: &'static str) -> Ticket {
    Ticket::label(label).deadline(Instant::now() + Duration::from_millis(200))
}

#[test]
fn a_write_or_read_that_was_stopped_names_its_statement() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config { slow_time_max: Duration::from_millis(100), ..Config::default() });
    let write = store.write_blocking_with(soon("Shop.Fill"), |tx| {
        tx.execute("INSERT INTO t(id) VALUES (-1)", [])?;
        tx.execute(ENDLESS, [])
    });
    let late = write.unwrap_err();
    assert_eq!((late.kind(), late.statement()), (Kind::Late, Some(ENDLESS)));
    assert!(late.to_string().contains("Shop.Fill") && late.to_string().contains(ENDLESS), "{late}");
    let read = store.read_blocking_with(Ticket::label("Shop.Sum").slow(), |s| {
        s.query_row(COUNT, [i64::MAX], |r| r.get::<_, i64>(0))
    });
    let long = read.unwrap_err();
    assert_eq!((long.kind(), long.statement()), (Kind::TooLong, Some(COUNT)));
    assert!(long.to_string().contains("Shop.Sum"), "{long}");
    assert_eq!(store.read_blocking(|s| s.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0))).unwrap(), 0);
}

#[test]
fn slow_writes_and_reads_are_logged_with_statement_and_plan() {
    let folder = tempfile::tempdir().unwrap();
    let (tell, told) = sync_channel(1000);
    let config = Config {
        slow_write: Duration::from_millis(2),
        slow_read: Duration::from_millis(2),
        slow_log_max: 3,
        observer: Some(Arc::new(Tell(Mutex::new(tell)))),
        ..Config::default()
    };
    let store = open(&folder, config);
    let ticket = Ticket::label("Shop.Fill").tenant(Tenant(7)).trace(99);
    let fill = "INSERT INTO t(v) SELECT randomblob(8) FROM t, (SELECT 1 FROM t LIMIT 1000)";
    store.write_blocking(|tx| tx.execute("INSERT INTO t(v) WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s LIMIT 200) SELECT CAST(i AS BLOB) FROM s", [])).unwrap();
    store.write_blocking_with(ticket, move |tx| tx.execute(fill, [])).unwrap();
    let run = loop {
        let run: SlowRun = told.recv().unwrap();
        if run.label == "Shop.Fill" {
            break run;
        }
    };
    assert_eq!((run.work, run.tenant, run.trace), (SlowWork::Write, Tenant(7), 99));
    assert!(run.took >= Duration::from_millis(2));
    assert_eq!(run.statement.as_deref(), Some(fill));
    assert!(run.plan.iter().any(|line| line.contains("SCAN t")), "{:?}", run.plan);
    for _ in 0..4 {
        store
            .read_blocking_with(Ticket::label("Shop.Sum").slow(), |s| {
                s.query_row(COUNT, [500_000], |r| r.get::<_, i64>(0))
            })
            .unwrap();
        let run = told.recv().unwrap();
        assert_eq!((run.work, run.label), (SlowWork::Read, "Shop.Sum"));
        assert_eq!(run.statement.as_deref(), Some(COUNT));
        assert!(!run.plan.is_empty());
    }
    let hold = store.writer().longest.into_iter().find(|hold| hold.label == "Shop.Fill").unwrap();
    assert_eq!((hold.tenant, hold.trace, hold.statement.as_deref()), (Tenant(7), 99, Some(fill)));
    store.close().unwrap();
}

#[test]
fn the_slow_log_is_a_ring_and_quick_work_is_not_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let (tell, told) = sync_channel(1000);
    let config = Config {
        slow_write: Duration::from_millis(20),
        slow_log_max: 3,
        observer: Some(Arc::new(Tell(Mutex::new(tell)))),
        ..Config::default()
    };
    let store = open(&folder, config);
    for n in 0..5 {
        // Slow outside of SQLite: there is no statement to tell.
        let held = store.write_blocking_with(Ticket::label("Shop.Think"), move |tx| {
            let end = Instant::now() + Duration::from_millis(21);
            while Instant::now() < end {
                std::hint::spin_loop();
            }
            tx.execute("INSERT INTO t(id) VALUES (?1)", [n])
        });
        held.unwrap();
        let run = told.recv().unwrap();
        assert_eq!((run.label, run.statement, run.plan.len()), ("Shop.Think", None, 0));
    }
    let _ = store.write_blocking_with(Ticket::label("quick"), |tx| tx.execute("DELETE FROM t WHERE id = 0", []));
    let logged = store.slow_runs();
    assert!(logged.len() == 3, "{logged:?}");
    assert!(logged.iter().all(|run| run.label == "Shop.Think"));
}

#[test]
fn one_long_instruction_is_named_once_its_kind_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let (tell, told) = sync_channel(1000);
    let config = Config {
        slow_write: Duration::from_millis(3),
        observer: Some(Arc::new(Tell(Mutex::new(tell)))),
        ..Config::default()
    };
    let store = open(&folder, config);
    let giant = "INSERT INTO t(v) VALUES (randomblob(40000000))";
    for _ in 0..3 {
        store.write_blocking_with(Ticket::label("Shop.Image"), move |tx| tx.execute(giant, [])).unwrap();
    }
    let runs: Vec<SlowRun> = (0..3).map(|_| told.recv().unwrap()).collect();
    assert_eq!(runs[2].statement.as_deref(), Some(giant), "{runs:?}");
}

#[test]
fn the_writers_holder_tells_its_statement_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, Config::default());
    let s = store.clone();
    let ticket = Ticket::label("Shop.Fill").deadline(Instant::now() + Duration::from_secs(2));
    let write = std::thread::spawn(move || s.write_blocking_with(ticket, |tx| tx.execute(ENDLESS, [])));
    let mut seen = None;
    while seen.is_none() && !write.is_finished() {
        seen = store.writer().holder.filter(|holder| holder.statement.is_some());
    }
    let holder = seen.expect("the writer told its statement within two seconds");
    assert_eq!((holder.label, holder.statement.as_deref()), ("Shop.Fill", Some(ENDLESS)));
    assert_eq!(write.join().unwrap().unwrap_err().kind(), Kind::Late);
    assert!(store.writer().holder.is_none_or(|holder| holder.statement.is_none()));
    let ended = store.writer().longest.into_iter().find(|hold| hold.label == "Shop.Fill").unwrap();
    assert!(ended.held >= Duration::from_secs(1));
    store.write_blocking(|_| Ok::<_, Error>(())).unwrap();
}
