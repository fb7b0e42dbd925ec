//! What several files of tests need: a held writer, futures without a runtime, an end to what hangs, processes of their own,
//! and looks at the files.
//!
//! Each file is a program that uses its part of this.

#![allow(dead_code, clippy::unwrap_used)]

use monolite_store::{Error, Store, Ticket};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Keeps the writer busy until the sender is used or dropped: what is queued meanwhile forms one group.
pub(crate) fn hold_writer(store: &Store, ticket: Ticket) -> (JoinHandle<()>, SyncSender<()>) {
    hold_writer_after(store, ticket, None)
}

/// The same, queued behind a hold that is let go then.
pub(crate) fn hold_writer_after(
    store: &Store,
    ticket: Ticket,
    before: Option<SyncSender<()>>,
) -> (JoinHandle<()>, SyncSender<()>) {
    let (go, wait) = sync_channel::<()>(1);
    let (entered, is_in) = sync_channel::<()>(1);
    let (wait, s) = (Mutex::new(wait), store.clone());
    let holder = std::thread::spawn(move || {
        let _ = s.write_blocking_with(ticket, move |_| {
            let _ = entered.try_send(());
            let _ = wait.lock().unwrap().recv();
            Ok::<_, Error>(())
        });
    });
    if let Some(before) = before {
        while store.status().queued == 0 {
            std::thread::yield_now();
        }
        drop(before);
    }
    is_in.recv().expect("the writer is held");
    (holder, go)
}

/// Waits for a future on this thread.
pub(crate) fn done<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// What a call answers, if it does so in time.
pub(crate) fn within<R: Send + 'static>(seconds: u64, f: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, answer) = sync_channel(1);
    std::thread::spawn(move || done.send(f()));
    answer.recv_timeout(Duration::from_secs(seconds)).expect("it hangs")
}

/// Runs an ignored test of this file in a process of its own, by a command that runs its arguments: the test changes what
/// its process may use.
pub(crate) fn child(test: &str, mut command: Command) {
    let folder = tempfile::tempdir().unwrap();
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    let out = command.env("MONOLITE_TEST_FOLDER", folder.path()).output().unwrap();
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
}

/// The same on a small file system in memory, seen by the child alone. Needs user namespaces; where they are forbidden, the
/// test says so and proves nothing.
pub(crate) fn child_in_a_small_world(test: &str, megabytes: u32) {
    let in_a_namespace = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]);
        command
    };
    if !in_a_namespace().arg("true").status().is_ok_and(|s| s.success()) {
        return eprintln!("skipped: no user namespaces here");
    }
    let script = format!(r#"mount -t tmpfs -o size={megabytes}m,mode=700 none "$MONOLITE_TEST_FOLDER" && exec "$@""#);
    let mut command = in_a_namespace();
    command.args(["sh", "-c", &script, "sh"]);
    child(test, command);
}

/// A file in the child's folder; `None` where the child was not started by its test.
pub(crate) fn childs_path() -> Option<PathBuf> {
    std::env::var_os("MONOLITE_TEST_FOLDER").map(|folder| PathBuf::from(folder).join("S/S.db"))
}

/// The address space that this process uses, in bytes.
pub(crate) fn memory_in_use() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    pages.split(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a number") * 4096
}

/// Bounds the address space of this process.
pub(crate) fn limit_memory(bytes: Option<u64>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::As).maximum;
    setrlimit(Resource::As, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
}

/// The file of this suffix beside a database.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// Waits for what another thread of the store does.
pub(crate) fn wait_until(store: &Store, what: &str, holds: impl Fn(&Store) -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds(store) {
        assert!(Instant::now() < end, "{what}: {:?}", store.status());
        std::thread::yield_now();
    }
}

/// Pages of 4,096 bytes without their sum, counted from 1, by the definition of SQLite's checksum VFS.
pub(crate) fn unsound(path: &Path) -> Vec<usize> {
    let sum = |page: &[u8]| {
        let (mut s1, mut s2) = (0u32, 0u32);
        for pair in page.chunks_exact(8) {
            s1 = s1.wrapping_add(u32::from_le_bytes(pair[..4].try_into().unwrap())).wrapping_add(s2);
            s2 = s2.wrapping_add(u32::from_le_bytes(pair[4..].try_into().unwrap())).wrapping_add(s1);
        }
        [s1.to_le_bytes(), s2.to_le_bytes()].concat()
    };
    let bytes = std::fs::read(path).unwrap();
    let is_unsound = |page: &[u8]| page[4096 - 8..] != sum(&page[..4096 - 8]);
    (1..).zip(bytes.chunks_exact(4096)).filter(|(_, page)| is_unsound(page)).map(|(number, _)| number).collect()
}
