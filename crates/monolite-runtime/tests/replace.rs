//! A service's file is replaced under a host: what was acknowledged is where it was, what comes between is refused.
#![allow(clippy::unwrap_used)]

use monolite_runtime::{Assembly, BackgroundMode, Host, StartError};
use monolite_service::*;
use monolite_store::{Migration, maintain};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct AddNote {}
message!(AddNote => i64);
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Notes {}
message!(Notes => i64);
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Other {}
message!(Other => i64);

fn open(folder: &Path) -> Host {
    let schema = [Migration::Quick { name: "1", sql: "CREATE TABLE notes(id INTEGER PRIMARY KEY) STRICT" }];
    let notes = Service::new("Notes", Migrations::new(schema))
        .write(|tx: &Tx, _: AddNote| {
            tx.insert("INSERT INTO notes DEFAULT VALUES RETURNING id", []).map_err(Error::from)
        })
        .read(|s: &Snapshot, _: &Notes| Ok(s.one("SELECT count(*) FROM notes", [])?.unwrap_or(0)));
    let others = Service::new("Others", Migrations::new([])).read(|_: &Snapshot, _: &Other| Ok(7));
    let assembly = Assembly::new(folder).service(notes).service(others).background(BackgroundMode::Off);
    assembly.open().unwrap()
}

fn swap(from: &Path, to: &Path) {
    std::fs::rename(from, to.with_extension("before")).unwrap();
    std::fs::rename(to, from).unwrap();
}

#[test]
fn a_file_is_replaced_while_others_serve_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let host = open(folder.path());
    let system = host.system();
    for _ in 0..3 {
        host.call_blocking(&system, AddNote {}).unwrap();
    }
    let beside = folder.path().join("next");
    std::fs::create_dir(&beside).unwrap();
    host.store("Notes").unwrap().copy_to(&beside.join("Notes.db"), &mut |_, _| {}).unwrap();
    for _ in 0..5 {
        host.call_blocking(&system, AddNote {}).unwrap();
    }
    assert!(matches!(host.take_away("Nobody"), Err(StartError::Unknown { .. })));

    let away = host.take_away("Notes").unwrap();
    let refused = host.call_blocking(&system, AddNote {}).unwrap_err();
    let Error::Failed(refused) = refused else { panic!("{refused:?}") };
    assert!(refused.retry_after().is_some(), "{refused:?}");
    assert_eq!(host.call_blocking(&system, Other {}).unwrap(), 7);
    let fork = maintain::fork(&beside.join("Notes.db"), away.last(), 1).unwrap();
    swap(&folder.path().join("Notes"), &beside);
    away.bring_back().unwrap();
    drop(away);

    assert_eq!(host.call_blocking(&system, Notes {}).unwrap(), 3);
    assert_eq!(host.store("Notes").unwrap().sequence(), fork.sequence);
    host.call_blocking(&system, AddNote {}).unwrap();
    assert_eq!(host.call_blocking(&system, Notes {}).unwrap(), 4);
    assert_eq!(host.cut(&[]).unwrap().call(&system, &Notes {}).unwrap(), 4);
    host.shutdown().unwrap();
    assert_eq!(open(folder.path()).call_blocking(&system, Notes {}).unwrap(), 4);
}

#[test]
fn every_acknowledged_write_is_in_the_one_file_or_in_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let host = open(folder.path());
    let stop = AtomicBool::new(false);
    let [acknowledged, refused] = std::thread::scope(|scope| {
        let write = || {
            let (mut acknowledged, mut refused) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                match host.call_blocking(&host.system(), AddNote {}) {
                    Ok(_) => acknowledged += 1,
                    Err(Error::Failed(failure)) if failure.retry_after().is_some() => refused += 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
            [acknowledged, refused]
        };
        let writers: Vec<_> = (0..4).map(|_| scope.spawn(write)).collect();
        for _ in 0..5 {
            while host.store("Notes").unwrap().sequence() < 20 {
                std::thread::yield_now();
            }
            // The same file comes back: whatever was acknowledged has to be in it.
            host.take_away("Notes").unwrap().bring_back().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|w| w.join().unwrap()).fold([0, 0], |[a, b], [c, d]| [a + c, b + d])
    });
    assert_eq!(host.call_blocking(&host.system(), Notes {}).unwrap(), acknowledged, "{refused} refused");
}
