//! Cuts over services: their moment, and an invariant that spans two files.
#![allow(clippy::unwrap_used)]

use monolite_runtime::{Assembly, BackgroundMode, Host, block_on};
use monolite_service::*;
use monolite_store::Migration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Cuts under load at least, and moves beside them.
const CUTS: u64 = 10_000;
const MOVES: u64 = 500;

const SCHEMA: &str = "CREATE TABLE n(v INTEGER) STRICT; INSERT INTO n VALUES (0)";

macro_rules! counter {
    ($raise:ident, $value:ident) => {
        #[derive(Clone, Serialize, Deserialize, JsonSchema)]
        struct $raise {
            to: i64,
        }
        message!($raise => ());
        #[derive(Clone, Serialize, Deserialize, JsonSchema)]
        struct $value {}
        message!($value => i64);

        impl $raise {
            fn service(name: &'static str) -> Service {
                Service::new(name, Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }]))
                    .write(|tx: &Tx, m: $raise| {
                        tx.run("UPDATE n SET v = max(v, ?)", [m.to]).map(drop).map_err(Error::from)
                    })
                    .read(|s: &Snapshot, _: &$value| Ok(s.one("SELECT v FROM n", [])?.unwrap_or(-1)))
            }
        }
    };
}

counter!(Give, Given);
counter!(Take, Taken);

/// Is never right.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Wrong {
    page: u64,
}
message!(Wrong => i64, check |m, c| c.range("page", m.page, 1..=9));

/// Takes from one file and gives to the other, in that order: two writes, each durable before the next begins.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Move {
    number: i64,
}
message!(Move => ());

async fn shift(f: Flow, m: Move) -> Outcome<Move> {
    let failed = |e: Error| Error::from(Failure::internal(format!("{e:?}")));
    f.call(Take { to: m.number }).await.map_err(failed)?;
    f.call(Give { to: m.number }).await.map_err(failed)?;
    Ok(())
}

fn host(folder: &tempfile::TempDir) -> Host {
    open(folder.path())
}

fn open(folder: &Path) -> Host {
    let giving = Give::service("Giver").flow(shift);
    let assembly =
        Assembly::new(folder).service(Take::service("Taker").read(|_: &Snapshot, _: &Wrong| Ok(0))).service(giving);
    assembly.background(BackgroundMode::Off).open().unwrap()
}

#[test]
fn a_cut_answers_messages_and_closures_as_of_its_moment() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(&folder);
    let system = host.system();
    host.call_blocking(&system, Move { number: 3 }).unwrap();
    let cut = host.cut(&[]).unwrap();
    host.call_blocking(&system, Move { number: 4 }).unwrap();
    assert_eq!((cut.call(&system, &Taken {}).unwrap(), cut.call(&system, &Given {}).unwrap()), (3, 3));
    let read = |s: &Snapshot<'_>| s.one::<i64>("SELECT v FROM n", []);
    assert_eq!(cut.read::<_, Failure>("Taker", read).unwrap(), Some(3));
    let sequences: Vec<_> = cut.sequences().collect();
    let now = ["Taker", "Giver"].map(|name| (name, host.store(name).unwrap().sequence() - 1));
    assert_eq!(sequences, now);
    assert_eq!(host.call_blocking(&system, Taken {}).unwrap(), 4);
}

#[test]
fn copies_and_joins_under_load_are_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(&folder);
    let (stop, next) = (AtomicBool::new(false), AtomicI64::new(1));
    let copies: Vec<_> = (0..5).map(|n| folder.path().join(format!("copy {n}"))).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                host.call_blocking(&host.system(), Move { number: next.fetch_add(1, SeqCst) }).unwrap();
            }
        });
        for copy in &copies {
            let cut = host.long_cut(&[]).unwrap();
            for (service, sequence) in cut.sequences() {
                let copied = cut.copy_to(service, &Assembly::file_of(copy, service), &mut |_, _| {}).unwrap();
                assert_eq!(copied.sequence, sequence);
            }
            let join = host.join(&[]).unwrap();
            let (sql, until) = ("SELECT t.v, g.v FROM Taker.n t, Giver.n g", Instant::now() + Duration::from_secs(60));
            let read = |j: &monolite_store::Joined<'_>| j.query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?)));
            let (taken, given): (i64, i64) = join.read(until, read).unwrap();
            assert!(taken == given || taken == given + 1, "{taken} taken, {given} given");
        }
        stop.store(true, SeqCst);
    });
    for copy in copies {
        let host = open(&copy);
        let system = host.system();
        let (taken, given) =
            (host.call_blocking(&system, Taken {}).unwrap(), host.call_blocking(&system, Given {}).unwrap());
        assert!(taken == given || taken == given + 1, "{taken} taken, {given} given");
    }
}

#[test]
fn what_a_cut_does_not_have_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(&folder);
    let text = |failure: Failure| failure.to_string();
    assert!(text(host.cut(&["Taker", "Nobody"]).err().unwrap()).contains("Nobody"));
    let cut = host.cut(&["Taker"]).unwrap();
    assert_eq!(cut.sequences().len(), 1);
    let system = host.system();
    let other = cut.call(&system, &Given {}).unwrap_err();
    assert!(format!("{other:?}").contains("Giver"), "{other:?}");
    let writes = cut.call(&system, &Take { to: 1 }).unwrap_err();
    assert!(format!("{writes:?}").contains("does not only read"), "{writes:?}");
    let wrong = cut.call(&system, &Wrong { page: 0 }).unwrap_err();
    assert!(format!("{wrong:?}").contains("Invalid"), "a message is checked: {wrong:?}");
    let counted = host.counts().into_iter().find(|c| c.message == "Taker.Wrong").unwrap();
    assert_eq!((counted.calls, counted.refused), (1, 1), "and counted");
    let denied = cut.read::<_, Failure>("Taker", |s| s.one::<i64>("UPDATE n SET v = 9 RETURNING v", []));
    assert!(denied.is_err());
    assert_eq!(cut.call(&system, &Taken {}).unwrap(), 0);
}

/// What was acknowledged before each cut is in it, and no effect is there without its cause: a file that shows move n
/// given shows it taken.
#[test]
fn ten_thousand_cuts_under_load_hold_the_invariant_of_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(&folder);
    let (stop, next, acknowledged) = (AtomicBool::new(false), AtomicI64::new(1), AtomicI64::new(0));
    let (moves, mut cuts, mut retried, mut paused) = (AtomicU64::new(0), 0, 0, 0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    let number = next.fetch_add(1, SeqCst);
                    block_on(host.call(&host.system(), Move { number })).unwrap();
                    acknowledged.fetch_max(number, SeqCst);
                    moves.fetch_add(1, SeqCst);
                }
            });
        }
        let system = host.system();
        while cuts < CUTS || moves.load(SeqCst) < MOVES {
            let before = acknowledged.load(SeqCst);
            let cut = host.cut(&[]).unwrap();
            let (taken, given) = (cut.call(&system, &Taken {}).unwrap(), cut.call(&system, &Given {}).unwrap());
            assert!(taken >= given, "cut {cuts}: move {given} was given before it was taken ({taken})");
            assert!(given >= before, "cut {cuts}: move {before} was acknowledged, but the cut ends at {given}");
            cuts += 1;
            retried += u64::from(cut.taking().retries > 0);
            paused += u64::from(cut.taking().paused);
        }
        stop.store(true, SeqCst);
    });
    let moves = moves.load(SeqCst);
    println!("{cuts} cuts beside {moves} moves; {retried} tried again, {paused} with the writers paused");
    host.shutdown().unwrap();
}
