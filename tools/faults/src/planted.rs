//! Are the rigs worth anything? Each bug of a list is planted into the store, and some rig must find it.
//!
//! A rig that never fails proves nothing: it may look at the wrong place. So the store has bugs on purpose, in builds with
//! `--cfg monolite_planted` only, and this runs the rigs' short modes over one after the other.
//!
//! **Invariants**
//! - The same rigs, with the same arguments, pass over the same build without a bug.
//! - A rig that is skipped has caught nothing.

use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// The planted bugs, by the names of their places in the store and in the archive, and the rig that is tried first.
pub const BUGS: [(&str, &str); 32] = [
    ("answer_before_commit", "history"),
    ("wal_not_synced", "images"),
    ("checkpoint_not_synced", "images"),
    ("recovered_wal_not_synced", "images"),
    ("wal_not_read_again", "points"),
    ("failed_sync_repeated", "points"),
    ("failed_commit_answered_well", "points"),
    ("cut_not_synced", "points"),
    ("answers_swapped", "history"),
    ("savepoint_not_undone", "history"),
    ("group_not_undone", "history"),
    ("panic_not_undone", "history"),
    ("lost_transaction_unnoticed", "images"),
    ("orphan_kept", "images"),
    ("deadline_ignored", "images"),
    ("dropped_write_runs", "images"),
    ("queue_loses_a_write", "history"),
    ("snapshot_kept_past_a_commit", "history"),
    ("epoch_recorded_after_begin", "history"),
    ("epoch_not_raised_by_readers", "history"),
    ("idle_snapshots_not_ended", "history"),
    ("half_made_file_refused", "images"),
    ("mark_ahead", "images"),
    ("sequence_skips", "images"),
    ("write_runs_twice", "images"),
    ("clients_out_of_order", "images"),
    ("cut_not_validated", "cut"),
    ("segment_not_synced", "archive"),
    ("segment_name_not_synced", "archive"),
    ("released_before_kept", "archive"),
    ("exchange_not_synced", "rewind"),
    ("small_file_not_synced", "rewind"),
];

/// The rigs with the arguments of their short modes, the quick ones first.
const RIGS: [(&str, &[&str]); 8] = [
    ("history", &["history", "--writes", "400", "--seed", "5"]),
    ("cut", &["cut", "--cuts", "40000", "--seed", "3"]),
    ("images", &["images", "--count", "1500", "--seed", "7", "--jobs", "1", "--forget"]),
    ("archive", &["archive", "--images", "200", "--kills", "4", "--seed", "7", "--forget"]),
    ("rewind", &["rewind", "--images", "100", "--seed", "7"]),
    ("points", &["points", "--syncs", "--seed", "3", "--jobs", "1", "--forget"]),
    ("kill", &["kill", "--cycles", "8", "--seed", "11"]),
    ("power", &["power", "--cycles", "6", "--seed", "11"]),
];

/// After so long a rig hangs, which is a find.
const RIG_MAX: Duration = Duration::from_secs(180);

/// What to do.
#[derive(Debug, Clone)]
pub struct Planted {
    /// Every rig over every bug; else the first that finds it is enough.
    pub all: bool,
    /// Bugs at a time.
    pub jobs: usize,
}

/// What a rig came to over a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Passed,
    Caught,
    Skipped,
    NotRun,
}

/// Builds the store with its bugs, runs the rigs and answers the table.
///
/// # Errors
/// A bug that no rig has caught, or a rig that fails without one; the table is in it.
pub fn run(planted: &Planted) -> Result<String> {
    let program = build()?;
    for (rig, arguments) in RIGS {
        let (came, why) = one(&program, None, arguments)?;
        ensure!(matches!(came, Came::Passed | Came::Skipped), "{rig} fails without a bug: {why}");
    }
    let next = AtomicUsize::new(0);
    let rows: Mutex<Vec<(usize, [Came; RIGS.len()], String)>> = Mutex::default();
    let worker = || -> Result<()> {
        while let Some((place, (bug, hint))) = BUGS.iter().enumerate().nth(next.fetch_add(1, SeqCst)) {
            let (mut row, mut first) = ([Came::NotRun; RIGS.len()], String::new());
            let mut order: Vec<_> = RIGS.iter().enumerate().collect();
            order.sort_by_key(|(_, (rig, _))| rig != hint);
            for (i, (_, arguments)) in order {
                let (came, why) = one(&program, Some(bug), arguments)?;
                row[i] = came;
                if came == Came::Caught {
                    if first.is_empty() {
                        first = why;
                    }
                    if !planted.all {
                        break;
                    }
                }
            }
            rows.lock().expect("no holder panics").push((place, row, first));
        }
        Ok(())
    };
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..planted.jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| bail!("a thread panicked"))).collect()
    });
    results.into_iter().collect::<Result<()>>()?;
    let mut rows = rows.into_inner().expect("no holder panicked");
    rows.sort_by_key(|(place, _, _)| *place);
    let caught = rows.iter().filter(|(_, row, _)| row.contains(&Came::Caught)).count();
    let table = table(&rows);
    ensure!(caught == BUGS.len(), "{table}only {caught} of {} planted bugs were caught", BUGS.len());
    Ok(format!("{table}{caught} of {} planted bugs were caught\n", BUGS.len()))
}

fn table(rows: &[(usize, [Came; RIGS.len()], String)]) -> String {
    let mut text = format!("{:36}", "planted bug");
    for (rig, _) in RIGS {
        let _ = write!(text, "{rig:9}"); // a String takes all that is written to it
    }
    text.push_str("first words of the first that caught it\n");
    for (place, row, first) in rows {
        let _ = write!(text, "{:36}", BUGS[*place].0);
        for came in row {
            let word = match came {
                Came::Passed => "-",
                Came::Caught => "caught",
                Came::Skipped => "skipped",
                Came::NotRun => "",
            };
            let _ = write!(text, "{word:9}");
        }
        let _ = writeln!(text, "{}", first.chars().take(110).collect::<String>());
    }
    text
}

/// Builds the rigs and the store with the bugs; other crates are those of ordinary builds.
fn build() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "monolite-faults", "--bin", "monolite-faults-planted"]);
    if own.parent().is_some_and(|folder| folder.ends_with("release")) {
        command.arg("--release");
    }
    command.env("RUSTC_WORKSPACE_WRAPPER", folder.join("planted/rustc")).current_dir(folder);
    ensure!(command.status().context("there is no cargo to build with")?.success(), "building the planted bugs failed");
    Ok(own.with_file_name("monolite-faults-planted"))
}

/// One rig over one bug, or over none; answers what it said last.
fn one(program: &Path, bug: Option<&str>, arguments: &[&str]) -> Result<(Came, String)> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(bug) = bug {
        command.env("MONOLITE_PLANTED", bug);
    }
    let (began, child) = (Instant::now(), command.spawn()?);
    let id = child.id();
    let (done, answer) = sync_channel(1);
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let output = match answer.recv_timeout(RIG_MAX) {
        Ok(output) => output?,
        Err(RecvTimeoutError::Timeout) => {
            let _ = Command::new("kill").args(["-9", &id.to_string()]).status(); // it may end just now
            return Ok((Came::Caught, format!("it hangs: {:?}", began.elapsed())));
        }
        Err(RecvTimeoutError::Disconnected) => bail!("the thread that waits for a rig panicked"),
    };
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.code() != Some(2), "{arguments:?}: {error}");
    let last = error.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    Ok(match (output.status.success(), out.contains("SKIPPED")) {
        (true, true) => (Came::Skipped, String::new()),
        (true, false) => (Came::Passed, String::new()),
        (false, _) => (Came::Caught, last.to_owned()),
    })
}
