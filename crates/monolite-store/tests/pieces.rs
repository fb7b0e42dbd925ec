//! Large values in pieces: appended, read, removed, and refused where they do not fit.

#![allow(clippy::unwrap_used)]

use monolite_store::{
    Config, Error, Kind, LARGE_VALUE_MAX, Migration, Migrations, PIECE_BYTES, PIECES_MAX, Pieces, REMOVED_AT_ONCE,
    Store,
};
use proptest::prelude::*;

const PIECES: Pieces = Pieces::table("pieces");
const SCHEMA: &str = "CREATE TABLE pieces (at INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;";

fn store(folder: &tempfile::TempDir) -> Store {
    let schema = Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }]);
    Store::open(folder.path().join("s/S.db"), Config::default(), schema).unwrap()
}

fn append(store: &Store, value: u64, length: u64, bytes: Vec<u8>) -> Result<u64, Error> {
    store.write_blocking(move |tx| PIECES.append(tx, value, length, &bytes))
}

/// Appends in as many writes as it takes.
fn append_all(store: &Store, value: u64, mut length: u64, mut bytes: &[u8]) -> u64 {
    while !bytes.is_empty() {
        let (now, later) = bytes.split_at(bytes.len().min(Pieces::room(length) as usize));
        length = append(store, value, length, now.to_vec()).unwrap();
        bytes = later;
    }
    length
}

fn read(store: &Store, value: u64, from: u64, most: u64) -> Result<Vec<u8>, Error> {
    store.read_blocking(move |s| PIECES.read(s, value, from, most))
}

fn read_all(store: &Store, value: u64, from: u64, to: u64) -> Vec<u8> {
    let mut all = Vec::new();
    while from + (all.len() as u64) < to {
        let at = from + all.len() as u64;
        all.extend(read(store, value, at, to - at).unwrap());
    }
    all
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 + n / 7919) as u8).collect()
}

#[test]
fn a_value_grows_only_from_its_own_length() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let kind = |value, length, bytes: usize| append(&store, value, length, vec![7; bytes]).unwrap_err().kind();
    assert_eq!(append(&store, 1, 0, vec![1; 100]).unwrap(), 100);
    for (length, bytes) in [(0, 1), (99, 1), (101, 1), (PIECE_BYTES, 1), (100, 0), (100, PIECE_BYTES as usize - 99)] {
        assert_eq!(kind(1, length, bytes), Kind::Invalid, "{length} {bytes}");
    }
    assert_eq!(append(&store, 1, 100, vec![2; PIECE_BYTES as usize - 100]).unwrap(), PIECE_BYTES);
    assert_eq!(kind(1, 0, PIECE_BYTES as usize), Kind::Invalid);
    assert_eq!(kind(1, 2 * PIECE_BYTES, 1), Kind::Invalid, "a gap");
    assert_eq!(append(&store, 1, PIECE_BYTES, vec![3]).unwrap(), PIECE_BYTES + 1);
    assert_eq!(kind(1, LARGE_VALUE_MAX, 1), Kind::TooLarge);
    assert_eq!(kind(1 << 44, 0, 1), Kind::Invalid);
    let length = store.read_blocking::<_, Error, _>(|s| PIECES.length(s, 1)).unwrap();
    assert_eq!(length, PIECE_BYTES + 1, "what was refused added nothing");
}

#[test]
fn values_lie_beside_each_other_and_never_touch() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let sizes = [0, 1, PIECE_BYTES as usize, PIECE_BYTES as usize * 3 + 5];
    for (value, size) in (0..).zip(sizes) {
        assert_eq!(append_all(&store, value, 0, &bytes(size)[..]), size as u64);
    }
    for (value, size) in (0..).zip(sizes) {
        assert_eq!(read_all(&store, value, 0, size as u64), bytes(size));
        let is_whole = |length| store.read_blocking::<_, Error, _>(|s| PIECES.is_whole(s, value, length)).unwrap();
        assert!(is_whole(size as u64) && !is_whole(size as u64 + 1));
    }
}

#[test]
fn the_last_piece_of_a_value_is_the_last_row_before_the_next_value() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let last = PIECES_MAX as i64 - 1;
    // 16 GiB but for the pieces between: what is there bounds what may come.
    store
        .write_blocking::<_, Error, _>(move |tx| {
            tx.execute("INSERT INTO pieces VALUES (?1, zeroblob(65535)), (?1 + 1, x'01')", [last])
        })
        .unwrap();
    assert_eq!(append(&store, 0, LARGE_VALUE_MAX - 1, vec![9]).unwrap(), LARGE_VALUE_MAX);
    assert_eq!(append(&store, 0, LARGE_VALUE_MAX, vec![9]).unwrap_err().kind(), Kind::TooLarge);
    assert_eq!(read(&store, 0, LARGE_VALUE_MAX - 1, 10).unwrap(), [9]);
    assert_eq!(read(&store, 0, LARGE_VALUE_MAX, 10).unwrap_err().kind(), Kind::TooLarge);
    assert_eq!(read(&store, 1, 0, 10).unwrap(), [1]);
    assert_eq!(read(&store, 0, 0, 10).unwrap_err().kind(), Kind::NoRows);
    let whole = store.read_blocking::<_, Error, _>(|s| PIECES.is_whole(s, 0, LARGE_VALUE_MAX)).unwrap();
    assert!(!whole, "pieces are missing");
}

#[test]
fn a_removal_goes_in_steps_and_leaves_the_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let pieces = REMOVED_AT_ONCE * 2 + 1;
    for value in 1..=3 {
        append_all(&store, value, 0, &bytes((pieces * PIECE_BYTES) as usize));
    }
    let step = || store.write_blocking::<_, Error, _>(|tx| Ok((PIECES.remove(tx, 2)?, PIECES.length(tx, 2)?))).unwrap();
    assert_eq!(step(), (true, (pieces - REMOVED_AT_ONCE) * PIECE_BYTES));
    assert_eq!(step(), (true, PIECE_BYTES));
    assert_eq!(step(), (false, 0));
    assert_eq!(step(), (false, 0));
    for value in [1, 3] {
        let whole = store.read_blocking::<_, Error, _>(move |s| PIECES.is_whole(s, value, pieces * PIECE_BYTES));
        assert!(whole.unwrap());
    }
}

#[test]
fn a_name_that_is_no_name_reaches_no_statement() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    for name in ["", "1a", "a b", "pieces; DROP TABLE pieces", "pieces--", "\"pieces\"", "é", "_monolite"] {
        let wrong = Pieces::named(name.to_owned());
        let error = store.read_blocking::<_, Error, _>(move |s| wrong.length(s, 1)).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{name}");
    }
}

#[test]
fn a_value_above_the_limit_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }]);
    let config = Config { value_max: 1 << 20, ..Config::default() };
    let store = Store::open(folder.path().join("s/S.db"), config, schema).unwrap();
    let put = |bytes: usize| {
        store.write_blocking::<_, Error, _>(move |tx| {
            tx.execute("INSERT INTO pieces VALUES (NULL, ?)", [vec![0; bytes]])
        })
    };
    assert_eq!(put(1 << 21).unwrap_err().kind(), Kind::TooLarge);
    put(1 << 19).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_cuts_give_the_same_bytes(
        cuts in prop::collection::vec(1..200_000_usize, 1..6),
        (from, to) in (0..600_000_u64, 0..600_000_u64),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let all = bytes(cuts.iter().sum());
        let (mut length, mut rest) = (0, &all[..]);
        for cut in cuts {
            let (now, later) = rest.split_at(cut);
            length = append_all(&store, 5, length, now);
            rest = later;
        }
        let (from, to) = (from.min(to).min(length), from.max(to).min(length));
        prop_assert_eq!(read_all(&store, 5, from, to), &all[from as usize..to as usize]);
    }
}
