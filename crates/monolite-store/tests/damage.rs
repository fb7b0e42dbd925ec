//! A damaged file: what is sound is read, nothing is written, and everything says why.

#![allow(clippy::unwrap_used)]

use monolite_store::{Config, Error, Kind, Migration, Migrations, State, Store, Ticket};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const SCHEMA: &str = "CREATE TABLE sound(id INTEGER PRIMARY KEY, v TEXT) STRICT; CREATE TABLE hurt(id INTEGER PRIMARY KEY, v TEXT) STRICT;
    INSERT INTO sound VALUES (1, 'here');
    WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i < 2000) INSERT INTO hurt SELECT i, hex(zeroblob(50)) FROM s";

fn open(path: &Path) -> Result<Store, Error> {
    Store::open(path, Config::default(), Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }]))
}

/// A closed store whose table `hurt` has a root page of rubbish.
fn damaged(folder: &Path) -> PathBuf {
    let path = folder.join("S.db");
    let store = open(&path).unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'hurt'";
    let root: u64 = store.read_blocking(|s| s.query_row(root, [], |r| r.get::<_, i64>(0))).unwrap() as u64;
    store.close().unwrap();
    fs::remove_file(folder.join("S.db-wal")).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0xA5; 4000], (root - 1) * 4096).unwrap();
    path
}

fn sound(store: &Store) -> Result<String, Error> {
    store.read_blocking(|s| s.query_row("SELECT v FROM sound", [], |r| r.get(0)))
}

#[test]
fn a_damaged_page_ends_the_writing_and_not_the_reading_of_the_rest() {
    for how in ["inline", "slow", "write"] {
        let folder = tempfile::tempdir().unwrap();
        let path = damaged(folder.path());
        let store = open(&path).unwrap();
        assert_eq!(store.status().state, State::Serving, "nobody has met it yet");
        let kind = match how {
            "write" => {
                store.write_blocking(|tx| tx.execute("UPDATE hurt SET v = 'x' WHERE id = 7", [])).unwrap_err().kind()
            }
            _ => {
                let ticket = if how == "slow" { Ticket::default().slow() } else { Ticket::default() };
                let read = store.read_blocking_with(ticket, |s| {
                    s.query_row("SELECT v FROM hurt WHERE id = 7", [], |r| r.get::<_, String>(0))
                });
                read.unwrap_err().kind()
            }
        };
        assert_eq!(kind, Kind::Corrupt, "{how}");
        let State::Damaged(why) = store.status().state else { panic!("{how}: {:?}", store.status().state) };
        assert!(why.contains("malformed"), "{why}");
        assert!(store.status().trouble.unwrap().contains("damaged"));
        assert_eq!(sound(&store).unwrap(), "here", "{how}");
        let error = store.write_blocking(|tx| tx.execute("INSERT INTO sound VALUES (2, 'x')", [])).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{how}");
        assert!(error.to_string().contains("nothing is written"), "{error}");
        let before = fs::read(&path).unwrap();
        drop(store);
        assert!(fs::read(&path).unwrap() == before, "{how}: not even a checkpoint writes");
    }
}

#[test]
fn a_refusal_of_the_services_own_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("S.db")).unwrap();
    let refused = store.read_blocking(|_| Err::<(), _>(Error::new(Kind::Invalid, "no")));
    assert_eq!(refused.unwrap_err().kind(), Kind::Invalid);
    store.write_blocking(|tx| tx.execute("INSERT INTO sound VALUES (1, 'twice')", [])).unwrap_err();
    assert_eq!(store.status().state, State::Serving);
}

#[test]
fn a_quarantined_store_answers_everything_with_its_damage_and_touches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = damaged(folder.path());
    fs::write(&path, "dear diary").unwrap();
    let error = open(&path).err().unwrap();
    let store = Store::quarantined(&path, Config::default(), &error);
    let State::Damaged(why) = store.status().state else { panic!() };
    assert!(why.contains("not a SQLite database"), "{why}");
    let told = |e: Error| {
        assert_eq!(e.kind(), Kind::Corrupt, "{e}");
        assert!(e.to_string().contains("not a SQLite database"), "{e}");
    };
    told(sound(&store).unwrap_err());
    told(store.read_blocking_with(Ticket::default().slow(), |_| Ok::<_, Error>(())).unwrap_err());
    told(store.write_blocking(|_| Ok::<_, Error>(())).unwrap_err());
    told(store.check().unwrap_err());
    told(store.copy_to(&folder.path().join("copy.db"), &mut |_, _| {}).unwrap_err());
    told(store.prepare("SELECT 1").unwrap_err());
    store.clone().close().unwrap();
    store.abandon();
    assert_eq!(fs::read(&path).unwrap(), b"dear diary");
}
