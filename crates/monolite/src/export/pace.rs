//! A reader that keeps to a rate, and tells how far it is.

use std::io::{self, Read};
use std::time::{Duration, Instant};

/// Reads so many bytes a second at most; 0 means as fast as it goes.
pub(super) struct Pace<'p> {
    rate: u64,
    began: Instant,
    done: u64,
    told: &'p mut dyn FnMut(u64),
}

impl<'p> Pace<'p> {
    pub(super) fn new(rate: u64, told: &'p mut dyn FnMut(u64)) -> Self {
        Pace { rate, began: Instant::now(), done: 0, told }
    }

    /// The same pace for one source.
    pub(super) fn of<'r, R: Read>(&'r mut self, source: R) -> Paced<'r, 'p, R> {
        Paced { pace: self, source }
    }
}

pub(super) struct Paced<'r, 'p, R> {
    pace: &'r mut Pace<'p>,
    source: R,
}

impl<R: Read> Read for Paced<'_, '_, R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(to)?;
        let pace = &mut *self.pace;
        pace.done += n as u64;
        (pace.told)(pace.done);
        if let Some(ms) = pace.done.saturating_mul(1000).checked_div(pace.rate) {
            let due = pace.began + Duration::from_millis(ms);
            std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        }
        Ok(n)
    }
}
