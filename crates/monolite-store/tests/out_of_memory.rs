//! SQLite's allocations fail one after another, at every place: the store stays usable or stops with a typed error.
//!
//! SQLite's allocator belongs to the whole process, so this file has one test.

#![allow(clippy::unwrap_used, unsafe_code)]

use monolite_store::rusqlite::ffi;
use monolite_store::{Config, Error, Kind, Migration, Migrations, State, Store, Ticket};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

/// Allocations until one fails; below zero none does.
static LEFT: AtomicI64 = AtomicI64::new(-1);
/// Whether all behind the first fail too.
static FOR_EVER: AtomicI64 = AtomicI64::new(0);
static mut REAL: MaybeUninit<ffi::sqlite3_mem_methods> = MaybeUninit::uninit();

fn fails() -> bool {
    if LEFT.load(SeqCst) < 0 {
        return false;
    }
    let left = LEFT.fetch_sub(1, SeqCst);
    if left == 0 && FOR_EVER.load(SeqCst) == 1 {
        LEFT.store(0, SeqCst);
    }
    left == 0
}

unsafe extern "C" fn malloc(n: c_int) -> *mut c_void {
    if fails() {
        std::ptr::null_mut()
    } else {
        unsafe { (&raw const REAL).cast::<ffi::sqlite3_mem_methods>().read().xMalloc.unwrap()(n) }
    }
}

unsafe extern "C" fn realloc(p: *mut c_void, n: c_int) -> *mut c_void {
    if fails() {
        std::ptr::null_mut()
    } else {
        unsafe { (&raw const REAL).cast::<ffi::sqlite3_mem_methods>().read().xRealloc.unwrap()(p, n) }
    }
}

fn install() {
    // SAFETY: before SQLite's first use in this process, on its only thread; the methods handed back are SQLite's own.
    unsafe {
        let real = (&raw mut REAL).cast::<ffi::sqlite3_mem_methods>();
        assert_eq!(ffi::sqlite3_config(ffi::SQLITE_CONFIG_GETMALLOC, real), ffi::SQLITE_OK);
        let mut ours = real.read();
        ours.xMalloc = Some(malloc);
        ours.xRealloc = Some(realloc);
        assert_eq!(ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw mut ours), ffi::SQLITE_OK);
    }
}

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT; CREATE INDEX i ON t(v)";

fn migrations() -> Migrations {
    Migrations::new([Migration::Quick { name: "1", sql: SCHEMA }])
}

/// What a client does; each step's error must be one that a lack of memory explains.
fn workload(store: &Store, acknowledged: &mut Vec<i64>, at: i64) {
    let told = |e: &Error| {
        let fits = matches!(
            e.kind(),
            Kind::Overloaded
                | Kind::Io
                | Kind::ReadOnly
                | Kind::OutcomeUnknown
                | Kind::Closed
                | Kind::Internal
                | Kind::Busy
        );
        assert!(fits, "{:?}: {e}", e.kind());
    };
    for id in [at * 10, at * 10 + 1] {
        match store.write_blocking(move |tx| tx.execute("INSERT INTO t VALUES (?1, hex(randomblob(3000)))", [id])) {
            Ok(_) => acknowledged.push(id),
            Err(e) => told(&e),
        }
    }
    for ticket in [Ticket::default(), Ticket::default().slow()] {
        let read = store
            .read_blocking_with(ticket, |s| s.query_row("SELECT count(*), max(v) FROM t", [], |r| r.get::<_, i64>(0)));
        read.map(drop).unwrap_or_else(|e| told(&e));
    }
}

#[test]
fn memory_that_ends_at_any_allocation_loses_nothing_that_was_acknowledged() {
    install();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("S.db");
    let config = || Config { wal_soft_bytes: 256 << 10, ..Config::default() };
    let mut acknowledged = Vec::new();
    let mut store = Store::open(&path, config(), migrations()).unwrap();
    workload(&store, &mut acknowledged, 0);
    let mut reopened = 0;
    for for_ever in [0, 1] {
        for n in 0..120 {
            FOR_EVER.store(for_ever, SeqCst);
            LEFT.store(n * 3, SeqCst);
            workload(&store, &mut acknowledged, 1 + for_ever * 1000 + n);
            LEFT.store(-1, SeqCst);
            if store.status().state != State::Serving {
                store.abandon();
                store = Store::open(&path, config(), migrations()).unwrap();
                reopened += 1;
            }
            let at = 5000 + for_ever * 1000 + n;
            store
                .write_blocking(move |tx| tx.execute("INSERT INTO t VALUES (?1, 'x')", [at * 10]))
                .expect("with memory it works");
            acknowledged.push(at * 10);
        }
    }
    // Memory that ends while the file is opened: an error, and no lock that is left.
    store.abandon();
    for n in 0..400 {
        FOR_EVER.store(n % 2, SeqCst);
        LEFT.store(n, SeqCst);
        let opened = Store::open(&path, config(), migrations());
        LEFT.store(-1, SeqCst);
        match opened {
            Ok(store) => store.abandon(),
            Err(e) => assert_ne!(e.kind(), Kind::Corrupt, "lack of memory is no damage: {e}"),
        }
    }
    let store = Store::open(&path, config(), migrations()).unwrap();
    let present: Vec<i64> = store
        .read_blocking(|s| {
            let mut statement = s.prepare("SELECT id FROM t ORDER BY id")?;
            Ok::<_, Error>(statement.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?)
        })
        .unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|id| present.binary_search(id).is_err()).collect();
    assert!(lost.is_empty(), "lost {lost:?} of {}", acknowledged.len());
    assert_eq!(store.check().unwrap().problems, Vec::<String>::new());
    assert!(reopened < 60, "it goes on by itself nearly always; it was opened {reopened} times");
}
