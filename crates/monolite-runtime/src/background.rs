//! Background work: what services do again and again.
//!
//! **Invariants**
//! - One thread runs all of it, side by side; each piece runs at most once at a time.
//! - A period that was missed is not made up for.

use crate::block_on::{Unpark, block_on};
use crate::host::Host;
use monolite_service::{Background, BoxFuture, Millis};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Instant;

/// The thread of the background work.
pub(crate) struct Runner {
    closing: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Runner {
    /// Starts the thread. It holds the host until it is stopped.
    pub(crate) fn start(host: Host, work: Vec<Background>) -> io::Result<Runner> {
        let closing = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("background".into()).spawn({
            let closing = closing.clone();
            move || run(&host, &work, &closing)
        })?;
        Ok(Runner { closing, thread })
    }

    /// Ends the thread; what was under way is dropped between two of its steps.
    pub(crate) fn stop(self) {
        self.closing.store(true, SeqCst);
        self.thread.thread().unpark();
        if self.thread.thread().id() != std::thread::current().id() {
            let _ = self.thread.join();
        }
    }
}

struct Piece<'w> {
    work: &'w Background,
    due: Instant,
    running: Option<BoxFuture<'static, Result<(), String>>>,
}

fn run(host: &Host, work: &[Background], closing: &AtomicBool) {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut cx = Context::from_waker(&waker);
    let began = Instant::now();
    let mut pieces: Vec<_> = work.iter().map(|work| Piece { work, due: began + work.period, running: None }).collect();
    while !closing.load(SeqCst) {
        let now = Instant::now();
        for piece in &mut pieces {
            if piece.running.is_none() && piece.due <= now {
                piece.due = now + piece.work.period;
                piece.running = Some((piece.work.run)(host.flow(&host.system())));
            }
            piece.step(&mut cx);
        }
        let waiting = pieces.iter().filter(|p| p.running.is_none()).map(|p| p.due).min();
        match waiting {
            Some(due) => std::thread::park_timeout(due.saturating_duration_since(Instant::now())),
            None => std::thread::park(),
        }
    }
}

impl Piece<'_> {
    fn step(&mut self, cx: &mut Context<'_>) {
        let Some(running) = &mut self.running else { return };
        match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(done)) => note(self.work, done),
            Err(_) => note(self.work, Err("it panicked".into())),
        }
        self.running = None;
    }
}

fn note(work: &Background, done: Result<(), String>) {
    if let Err(error) = done {
        tracing::warn!(message = work.message, error, "background work failed; it is tried again in its period");
    }
}

/// Background work by a clock that a test moves.
pub(crate) struct Manual {
    work: Vec<Background>,
    due: Mutex<Vec<Millis>>,
}

impl Manual {
    pub(crate) fn new(work: Vec<Background>, now: Millis) -> Self {
        let due = Mutex::new(work.iter().map(|w| now + w.period).collect());
        Manual { work, due }
    }

    /// Runs what is due, each piece once, on this thread.
    pub(crate) fn run_due(&self, host: &Host) {
        let now = host.now();
        for (i, work) in self.work.iter().enumerate() {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            if due[i] > now {
                continue;
            }
            due[i] = now + work.period;
            drop(due);
            note(work, block_on((work.run)(host.flow(&host.system()))));
        }
    }
}
