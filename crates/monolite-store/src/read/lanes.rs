//! The slow lane: a few threads of lower priority, shared by all stores of the process.
//!
//! **Invariants**
//! - A store's waiting reads are bounded by its `Config::slow_queue_max`; a task runs at most its deadline.
//! - Threads start at the first slow read and live as long as the process.

use crate::reply::lock;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

/// Threads of the slow lane in a process.
const THREADS: usize = 2;
/// Nice value of those threads.
const NICE: i32 = 10;

type Task = Box<dyn FnOnce() + Send>;

struct Lane {
    tasks: Mutex<VecDeque<Task>>,
    ready: Condvar,
}

/// Hands a task to the slow lane.
pub(crate) fn submit(task: Task) {
    let lane = lane();
    lock(&lane.tasks).push_back(task);
    lane.ready.notify_one();
}

fn lane() -> &'static Lane {
    static LANE: OnceLock<Lane> = OnceLock::new();
    static STARTED: OnceLock<()> = OnceLock::new();
    let lane = LANE.get_or_init(|| Lane { tasks: Mutex::new(VecDeque::new()), ready: Condvar::new() });
    STARTED.get_or_init(|| {
        for n in 0..THREADS {
            std::thread::Builder::new()
                .name(format!("slow-lane:{n}"))
                .spawn(move || serve(lane))
                .expect("a process that cannot start two threads cannot serve");
        }
    });
    lane
}

fn serve(lane: &'static Lane) {
    // Lower priority is a courtesy to the callers' threads; without the right to it the lane works as well.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
    loop {
        let mut tasks = lock(&lane.tasks);
        let task = loop {
            match tasks.pop_front() {
                Some(task) => break task,
                None => tasks = lane.ready.wait(tasks).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(tasks);
        // A task answers its own panic; this catch keeps the lane alive if even that fails.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(task));
    }
}
