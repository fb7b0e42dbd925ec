//! The VFS beside SQLite's own: the same bytes, the same answers, fewer system calls.

use super::*;
use crate::place::beside;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn open(path: &Path, ours: bool) -> Connection {
    let name = register(None).unwrap();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let c = if ours {
        Connection::open_with_flags_and_vfs(path, flags, name).unwrap()
    } else {
        Connection::open_with_flags(path, flags).unwrap()
    };
    c.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0").unwrap();
    c
}

/// A WAL without what chance puts into it: the salts, and the checksums that depend on them.
fn frames(db: &Path) -> Vec<(u32, u32, Vec<u8>)> {
    let bytes = fs::read(beside(db, "-wal")).unwrap();
    let number = |b: &[u8]| u32::from_be_bytes(b.try_into().unwrap());
    bytes[32..].chunks_exact(4120).map(|f| (number(&f[..4]), number(&f[4..8]), f[24..].to_vec())).collect()
}

/// Ordinary groups, one larger than the buffer, a cache too small for its transaction (spills, frames written twice,
/// checksums written again), savepoints undone after a spill, a transaction undone, restarts of the log.
fn workload(path: &Path, ours: bool) -> Vec<(u32, u32, Vec<u8>)> {
    let w = open(path, ours);
    let run = |sql: &str| w.execute_batch(sql).unwrap();
    run("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX i ON t(v);
         WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<20000) INSERT INTO t SELECT i, printf('%0100d', i) FROM s");
    for group in 0..20 {
        run("BEGIN IMMEDIATE");
        for k in 0..58 {
            w.execute("UPDATE t SET v = printf('%0100d', ?1) WHERE id = ?2", [group, (group * 7919 + k * 331) % 20000])
                .unwrap();
        }
        run("COMMIT");
    }
    run("PRAGMA cache_size = 20; PRAGMA cache_spill = 10");
    run(
        "BEGIN IMMEDIATE; UPDATE t SET v = printf('%0101d', id); UPDATE t SET v = v || 'x' WHERE id % 3 = 0; UPDATE t SET v = v || 'y'; COMMIT",
    );
    run("BEGIN IMMEDIATE; UPDATE t SET v = v || 'a' WHERE id < 3000; SAVEPOINT s; UPDATE t SET v = v || 'b' WHERE id > 2000;
         ROLLBACK TO s; UPDATE t SET v = v || 'c' WHERE id BETWEEN 100 AND 200; RELEASE s; COMMIT");
    run("BEGIN IMMEDIATE; UPDATE t SET v = v || 'gone'; ROLLBACK");
    run("UPDATE t SET v = v || 'd' WHERE id < 500");
    let (count, sum): (i64, i64) =
        w.query_row("SELECT count(*), sum(length(v)) FROM t", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    assert_eq!(count, 20000);
    let reader = open(path, false);
    assert_eq!(reader.query_row("SELECT sum(length(v)) FROM t", [], |r| r.get::<_, i64>(0)).unwrap(), sum);
    let before = frames(path);
    reader.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    run("UPDATE t SET v = v || 'e' WHERE id < 500");
    assert!(fs::read(beside(path, "-wal")).unwrap().len() > 32 + before.len() * 4100, "recycled, not cut");
    assert_eq!(reader.query_row("PRAGMA integrity_check", [], |r| r.get::<_, String>(0)).unwrap(), "ok");
    before.into_iter().chain(frames(path)).collect()
}

#[test]
fn wal_holds_the_same_frames_as_under_the_systems_vfs() {
    let t = tempfile::tempdir().unwrap();
    let (plain, ours) = (workload(&t.path().join("a.db"), false), workload(&t.path().join("b.db"), true));
    assert!(plain.len() > 2000, "{}", plain.len());
    assert_eq!(plain.len(), ours.len());
    for (n, (a, b)) in plain.iter().zip(&ours).enumerate() {
        assert!(a == b, "frame {n}: page {} mark {} against page {} mark {}", a.0, a.1, b.0, b.1);
    }
}

#[test]
fn readers_under_the_systems_vfs_see_each_commit_at_once_and_nothing_before_it() {
    let t = tempfile::tempdir().unwrap();
    for synchronous in ["FULL", "NORMAL", "OFF"] {
        let db = t.path().join(format!("{synchronous}.db"));
        let w = open(&db, true);
        let r = open(&db, false);
        w.execute_batch(&format!("PRAGMA synchronous = {synchronous}; PRAGMA cache_size = 10; CREATE TABLE t(v)"))
            .unwrap();
        let seen = || {
            r.query_row("SELECT count(*), coalesce(sum(length(v)), 0) FROM t", [], |r| {
                Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?))
            })
            .unwrap()
        };
        for n in 1..100 {
            w.execute_batch("BEGIN IMMEDIATE").unwrap();
            w.execute("INSERT INTO t VALUES(zeroblob(?1))", [n * 1000]).unwrap();
            w.execute("UPDATE t SET v = zeroblob(length(v)) WHERE rowid % 7 = ?1 % 7", [n]).unwrap();
            assert_eq!(seen().0, n - 1);
            w.execute_batch("COMMIT").unwrap();
            assert_eq!(seen(), (n, 500 * n * (n + 1)), "synchronous={synchronous}");
        }
    }
}

#[test]
fn undone_spill_never_overwrites_what_another_program_commits_after_it() {
    let t = tempfile::tempdir().unwrap();
    let db = t.path().join("x.db");
    let w = open(&db, true);
    w.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, v); PRAGMA cache_size = 10; PRAGMA cache_spill = 5")
        .unwrap();
    let other = open(&db, false);
    for n in 0..30 {
        w.execute_batch("BEGIN IMMEDIATE; INSERT INTO t(v) SELECT hex(zeroblob(3000)) FROM (VALUES(1),(2),(3),(4),(5),(6),(7),(8),(9)); ROLLBACK").unwrap();
        other.execute("INSERT INTO t(v) VALUES(?1)", [format!("{n:01000}")]).unwrap();
        w.execute("UPDATE t SET v = v || 'w'", []).unwrap();
        let copy = t.path().join("copy.db");
        let _ = fs::remove_file(beside(&copy, "-shm"));
        fs::copy(&db, &copy).unwrap();
        fs::copy(beside(&db, "-wal"), beside(&copy, "-wal")).unwrap();
        let recovered = open(&copy, false);
        assert_eq!(
            recovered.query_row("SELECT count(*) FROM t WHERE v LIKE '%w'", [], |r| r.get::<_, i64>(0)).unwrap(),
            n + 1
        );
        assert_eq!(recovered.query_row("PRAGMA integrity_check", [], |r| r.get::<_, String>(0)).unwrap(), "ok");
    }
}

/// Runs one of the ignored tests below in a process of its own, with `folder` in its environment.
fn child(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("sqlite::vfs::tests::{test}"), "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("MONOLITE_TEST_FOLDER", folder);
    command
}

/// `None` where the child was not started by its test.
fn childs_folder() -> Option<PathBuf> {
    std::env::var_os("MONOLITE_TEST_FOLDER").map(PathBuf::from)
}

#[test]
fn failed_flush_is_told_and_the_next_group_goes_through() {
    let t = tempfile::tempdir().unwrap();
    let out = child("child_with_a_file_size_limit", t.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
#[ignore = "a process of its own, run by the test above"]
fn child_with_a_file_size_limit() {
    let Some(db) = childs_folder().map(|f| f.join("x.db")) else { return };
    let w = open(&db, true);
    w.execute_batch(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v);
         WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<2000) INSERT INTO t SELECT i, hex(zeroblob(200)) FROM s",
    )
    .unwrap();
    let before = fs::metadata(beside(&db, "-wal")).unwrap().len();
    let lost = |c: &Connection| {
        c.query_row("SELECT count(*) FROM t WHERE v LIKE '%lost'", [], |r| r.get::<_, i64>(0)).unwrap()
    };
    // A limit on file sizes refuses a write where a full disk would: a part of the buffer is in the file. The first
    // limit fails the last flush of a group, in xSync; the second one in its middle.
    for (room, rows) in [(50_000, 300), (700_000, 2000)] {
        let update = format!("BEGIN IMMEDIATE; UPDATE t SET v = v || 'lost' WHERE id <= {rows}; COMMIT");
        let failed = with_file_size_limit(before + room, || w.execute_batch(&update));
        let code = failed.unwrap_err().sqlite_error().unwrap().extended_code;
        assert!(code == ffi::SQLITE_FULL || code == ffi::SQLITE_IOERR_WRITE, "{code}");
        if !w.is_autocommit() {
            w.execute_batch("ROLLBACK").unwrap();
        }
        assert_eq!((lost(&open(&db, false)), lost(&w)), (0, 0));
    }
    w.execute_batch("UPDATE t SET v = v || 'kept' WHERE id = 7").unwrap();
    let r = open(&db, false);
    assert_eq!(r.query_row("SELECT count(*) FROM t WHERE v LIKE '%kept'", [], |r| r.get::<_, i64>(0)).unwrap(), 1);
    assert_eq!(lost(&r), 0);
    assert_eq!(r.query_row("PRAGMA integrity_check", [], |r| r.get::<_, String>(0)).unwrap(), "ok");
}

fn with_file_size_limit<T>(bytes: u64, work: impl FnOnce() -> T) -> T {
    // SAFETY: plain system calls on values of our own; the process runs this test alone.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let mut old: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_FSIZE, &mut old), 0);
        let new = libc::rlimit { rlim_cur: bytes, rlim_max: old.rlim_max };
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &new), 0);
        let done = work();
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &old), 0);
        done
    }
}

#[test]
fn killed_writer_loses_no_acknowledged_group_and_leaves_none_in_part() {
    for round in 0..10u64 {
        let t = tempfile::tempdir().unwrap();
        let mut writer = child("child_that_is_killed", t.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(std::io::Result::ok);
        let enough = 20 + round * 17;
        let acknowledged = |line: &String| line.strip_prefix("group ").and_then(|n| n.parse::<u64>().ok());
        let mut last = told.by_ref().filter_map(|l| acknowledged(&l)).find(|n| *n >= enough).unwrap();
        writer.kill().unwrap();
        writer.wait().unwrap();
        last = told.filter_map(|l| acknowledged(&l)).last().unwrap_or(last);
        let db = t.path().join("x.db");
        let c = open(&db, false);
        assert_eq!(crate::wal::settle(&c, &db, None, || Ok(())).unwrap().marks, 0);
        let (rows, groups, whole): (u64, u64, u64) = c
            .query_row(
                "SELECT sum(n), count(*), count(*) FILTER (WHERE n = 58) FROM (SELECT count(*) AS n FROM t GROUP BY g)",
                [],
                |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
            )
            .unwrap();
        assert!(groups >= last, "{groups} groups, {last} acknowledged");
        assert_eq!((whole, rows), (groups, groups * 58), "a group in part");
        assert_eq!(c.query_row("PRAGMA integrity_check", [], |r| r.get::<_, String>(0)).unwrap(), "ok");
    }
}

#[test]
#[ignore = "a process of its own, run by the test above"]
fn child_that_is_killed() {
    let Some(folder) = childs_folder() else { return };
    let w = open(&folder.join("x.db"), true);
    w.execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, g INTEGER, v BLOB); CREATE INDEX i ON t(g, v)").unwrap();
    for group in 1..100_000 {
        w.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..58 {
            w.execute("INSERT INTO t(g, v) VALUES(?1, randomblob(300))", [group]).unwrap();
        }
        w.execute_batch("COMMIT").unwrap();
        println!("group {group}");
    }
}

fn bench_database(path: PathBuf) -> PathBuf {
    let c = open(&path, false);
    c.execute_batch(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, v TEXT) STRICT;
         WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<1000000) INSERT INTO t SELECT i, i, hex(randomblob(40)) FROM s;
         PRAGMA wal_checkpoint(TRUNCATE);",
    )
    .unwrap();
    path
}

/// Groups of 58 one-row updates at random keys, FULL, the WAL recycled: the median of a COMMIT.
fn commits(path: &Path, ours: bool, seconds: u64) -> (Duration, Duration, u64) {
    let w = open(path, ours);
    let ckpt = open(path, false);
    w.execute_batch("PRAGMA cache_size = -200000").unwrap();
    w.query_row("SELECT sum(length(v)) FROM t", [], |_| Ok(())).unwrap();
    let mut update = w.prepare("UPDATE t SET k = k + 1 WHERE id = ?1").unwrap();
    let (mut x, mut took, mut groups) = (88172645463325252u64, Vec::new(), Vec::new());
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        if took.len() % 64 == 63 {
            ckpt.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        }
        let began = Instant::now();
        w.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..58 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            update.execute([(x % 1_000_000) as i64 + 1]).unwrap();
        }
        let commit = Instant::now();
        w.execute_batch("COMMIT").unwrap();
        took.push(commit.elapsed());
        groups.push(began.elapsed());
    }
    let n = took.len();
    took.sort_unstable();
    groups.sort_unstable();
    (took[n / 2], groups[n / 2], n as u64 * 58)
}

/// `cargo test --release -p monolite-store vfs::tests::cost -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn cost_of_a_commit_with_and_without_the_tail() {
    let t = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let db = bench_database(t.path().join("x.db"));
    for round in 0..4 {
        for ours in [false, true] {
            let (commit, group, rows) = commits(&db, ours, 4);
            println!(
                "round {round} {:8} commit {commit:?}, group {group:?}, {} rows/s",
                if ours { "monolite" } else { "unix" },
                rows / 4
            );
        }
    }
}

/// The file of a connection that was opened through [`register`].
fn pace_of(c: &Connection) -> &Pace {
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    // SAFETY: FILE_POINTER hands out the connection's own file, an Outer; it lives as long as the connection.
    unsafe {
        let out = (&raw mut file).cast();
        ffi::sqlite3_file_control(c.handle(), c"main".as_ptr(), ffi::SQLITE_FCNTL_FILE_POINTER, out);
        (*file.cast::<Outer>()).pace.as_ref().unwrap()
    }
}

/// What stands or falls with the layout of SQLite's own structure.
#[test]
fn paced_descriptor_is_the_connections_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (one, two) = (open(&path, true), open(&path, true));
    let numbers = [pace_of(&one).fd().unwrap(), pace_of(&two).fd().unwrap()];
    assert_ne!(numbers[0], numbers[1]);
    for fd in numbers {
        assert_eq!(fs::read_link(format!("/proc/self/fd/{fd}")).unwrap(), path.canonicalize().unwrap());
    }
}

#[test]
fn paced_checkpoint_copies_the_same_pages() {
    let folder = tempfile::tempdir().unwrap();
    let copied = |ours: bool| {
        let path = folder.path().join(format!("{ours}.db"));
        let c = open(&path, ours);
        c.execute_batch("CREATE TABLE t(v BLOB); WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<2000) INSERT INTO t SELECT zeroblob(3000 + i) FROM s")
            .unwrap();
        let all: (i64, i64, i64) =
            c.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).unwrap();
        assert_eq!((all.0, all.1), (0, all.2));
        fs::read(&path).unwrap()
    };
    assert_eq!(copied(true), copied(false));
}
