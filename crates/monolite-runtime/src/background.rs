//! Background work: what services do again and again.
//!
//! **Invariants**
//! - One thread runs all of it, side by side; each piece runs at most once at a time.
//! - A period that was missed is not made up for.
//! - Failures of a piece are said once in `SAID_AGAIN` at most, with how many there were; and that they have passed.

use crate::block_on::{Unpark, block_on};
use crate::host::Host;
use monolite_service::{Background, BoxFuture, Millis};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long no other failure of the same piece is said.
const SAID_AGAIN: Duration = Duration::from_secs(60);

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
    said: Said,
    due: Instant,
    running: Option<BoxFuture<'static, Result<(), String>>>,
}

fn run(host: &Host, work: &[Background], closing: &AtomicBool) {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut cx = Context::from_waker(&waker);
    let began = Instant::now();
    let begin = |work| Piece { work, said: Said::default(), due: began, running: None };
    let mut pieces: Vec<_> = work.iter().map(begin).collect();
    pieces.iter_mut().for_each(|piece| piece.due += piece.work.period);
    while !closing.load(SeqCst) {
        let now = Instant::now();
        for piece in &mut pieces {
            if piece.running.is_none() && piece.due <= now {
                piece.due = now + piece.work.period;
                piece.running = Some((piece.work.run)(host.flow(&host.system())));
            }
            piece.step(&mut cx, began);
        }
        let waiting = pieces.iter().filter(|p| p.running.is_none()).map(|p| p.due).min();
        match waiting {
            Some(due) => std::thread::park_timeout(due.saturating_duration_since(Instant::now())),
            None => std::thread::park(),
        }
    }
}

impl Piece<'_> {
    fn step(&mut self, cx: &mut Context<'_>, began: Instant) {
        let Some(running) = &mut self.running else { return };
        let done = match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(done)) => done,
            Err(_) => Err("it panicked".into()),
        };
        self.said.note(self.work, done, began.elapsed());
        self.running = None;
    }
}

/// What was said of a piece of work.
#[derive(Default)]
struct Said {
    /// When a failure was said last.
    at: Option<Duration>,
    /// The last word was of a failure.
    is_failing: bool,
    /// Failures that were not said yet.
    unsaid: u64,
}

/// What there is to say.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    /// The last of so many failures since a word of them.
    Fails {
        error: String,
        times: u64,
    },
    Works,
}

impl Said {
    /// A run has ended, by a clock that never goes back.
    fn note(&mut self, work: &Background, done: Result<(), String>, now: Duration) {
        let of = work.message;
        match self.word(done, now) {
            Some(Word::Fails { error, times }) => {
                tracing::warn!(of, error, times, "background work failed; it is tried again in its period");
            }
            Some(Word::Works) => tracing::info!(of, "background work that failed works again"),
            None => {}
        }
    }

    fn word(&mut self, done: Result<(), String>, now: Duration) -> Option<Word> {
        let Err(error) = done else { return std::mem::take(&mut self.is_failing).then_some(Word::Works) };
        self.unsaid += 1;
        if self.at.is_some_and(|at| now < at + SAID_AGAIN) {
            return None;
        }
        (self.at, self.is_failing) = (Some(now), true);
        Some(Word::Fails { error, times: std::mem::take(&mut self.unsaid) })
    }
}

/// Background work by a clock that a test moves.
pub(crate) struct Manual {
    work: Vec<Background>,
    due: Mutex<Vec<(Millis, Said)>>,
    began: Instant,
}

impl Manual {
    pub(crate) fn new(work: Vec<Background>, now: Millis) -> Self {
        let due = Mutex::new(work.iter().map(|w| (now + w.period, Said::default())).collect());
        Manual { work, due, began: Instant::now() }
    }

    /// Runs what is due, each piece once, on this thread.
    pub(crate) fn run_due(&self, host: &Host) {
        let now = host.now();
        for (i, work) in self.work.iter().enumerate() {
            let mut due = self.due();
            if due[i].0 > now {
                continue;
            }
            due[i].0 = now + work.period;
            drop(due);
            let done = block_on((work.run)(host.flow(&host.system())));
            self.due()[i].1.note(work, done, self.began.elapsed());
        }
    }

    fn due(&self) -> MutexGuard<'_, Vec<(Millis, Said)>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_stays_is_said_once_a_minute_and_its_end_once() {
        let mut said = Said::default();
        let at = |seconds| Duration::from_secs(seconds);
        let full = || Err("the disk is full".to_owned());
        let fails = |error: &str, times| Some(Word::Fails { error: error.to_owned(), times });
        assert_eq!(said.word(Ok(()), at(0)), None, "who works says nothing");
        assert_eq!(said.word(full(), at(1)), fails("the disk is full", 1));
        assert!((2..60).all(|second| said.word(full(), at(second)).is_none()));
        assert_eq!(said.word(Err("it waited 10.3 s".to_owned()), at(60)), None, "whatever it says");
        assert_eq!(said.word(Err("it panicked".to_owned()), at(61)), fails("it panicked", 60));
        assert_eq!(said.word(full(), at(62)), None);
        assert_eq!(said.word(Ok(()), at(64)), Some(Word::Works));
        assert_eq!(said.word(Ok(()), at(65)), None);
    }

    #[test]
    fn one_that_fails_every_other_time_is_said_as_seldom() {
        let mut said = Said::default();
        let words = (0..600_u64).filter_map(|half| {
            let done = if half % 2 == 0 { Err("no room".to_owned()) } else { Ok(()) };
            said.word(done, Duration::from_millis(half * 500))
        });
        let words: Vec<_> = words.collect();
        assert_eq!(words.len(), 10, "five minutes: {words:?}");
        assert_eq!(words[2], Word::Fails { error: "no room".to_owned(), times: 60 });
    }
}
