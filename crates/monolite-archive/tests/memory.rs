//! A restore's memory does not grow with the file: more bytes than it may use come back within it.
//!
//! In a process of its own, since it looks at the peak of the whole process. `MONOLITE_LONG=1` takes a file of 6 GB.

#![allow(clippy::unwrap_used)]

use monolite_archive::place::Folder;
use monolite_archive::{BASES, Check, History, Level, Place, Target, ltx, restore, verify};
use monolite_store::rusqlite::Connection;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const PAGE: u32 = 4096;
/// Deltas beside the base: more than one merge takes, so that rounds go over the disk.
const DELTAS: u64 = 300;

fn kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_restore_takes_less_memory_than_the_file() {
    let (megabytes, most_mib) = if std::env::var_os("MONOLITE_LONG").is_some() { (6_000, 128) } else { (400, 128) };
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("source.db");
    let db = Connection::open(&source).unwrap();
    db.execute_batch(&format!(
        "PRAGMA page_size = {PAGE}; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; CREATE TABLE t (body);
         WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {megabytes})
         INSERT INTO t SELECT zeroblob(1000000) FROM c"
    ))
    .unwrap();
    drop(db);
    let place: Arc<dyn Place> = Arc::new(Folder::open(scratch.path().join("archive")).unwrap());
    let history = History::new(place, "Large", "00").unwrap();
    let file = File::open(&source).unwrap();
    let pages = u32::try_from(file.metadata().unwrap().len() / u64::from(PAGE)).unwrap();
    let mut page = vec![0; PAGE as usize];
    let header = |first, last| ltx::Header { page_size: PAGE, pages, first, last, at_ms: 5, epoch: 1 };
    let mut base = history.write(BASES, header(1, 1)).unwrap().spilling_to(scratch.path());
    for number in 1..=pages {
        file.read_exact_at(&mut page, u64::from(number - 1) * u64::from(PAGE)).unwrap();
        base.page(number, &page).unwrap();
    }
    base.finish().unwrap();
    for sequence in 2..2 + DELTAS {
        let number = 1 + u32::try_from(sequence).unwrap() * (pages / 400);
        file.read_exact_at(&mut page, u64::from(number - 1) * u64::from(PAGE)).unwrap();
        let mut delta = history.write(Level::CAPTURED, header(sequence, sequence)).unwrap();
        delta.page(number, &page).unwrap();
        delta.finish().unwrap();
    }

    std::fs::write("/proc/self/clear_refs", "5").unwrap(); // the peak begins anew
    let before = kib("VmRSS");
    let out = scratch.path().join("out.db");
    let done = restore(&history, Target::Latest, &out, Check::Full, &mut |_| ControlFlow::Continue(())).unwrap();
    verify(&history, i64::MIN, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let grown = (kib("VmHWM") - before) / 1024;
    eprintln!("{} MiB restored from {} segments within {grown} MiB", done.bytes >> 20, done.segments);
    assert!(grown < most_mib && done.bytes >> 20 > 2 * most_mib, "{grown} MiB");
    assert_eq!(done.pages, pages);
}
