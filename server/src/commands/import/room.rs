//! Room for documents between the reader and the dealer, in bytes.
//!
//! **Invariants**
//! - What waits has at most so many bytes, or is one document that is larger.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The room.
pub(super) struct Room {
    bytes_max: usize,
    used: Mutex<usize>,
    given_back: Condvar,
}

impl Room {
    pub(super) fn new(bytes_max: usize) -> Self {
        Room { bytes_max, used: Mutex::new(0), given_back: Condvar::new() }
    }

    /// Waits until there is room for so many bytes, and takes it.
    pub(super) fn take(&self, bytes: usize) {
        let mut used = self.lock();
        while *used > 0 && *used + bytes > self.bytes_max {
            used = self.given_back.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
    }

    /// Gives room back.
    pub(super) fn give(&self, bytes: usize) {
        *self.lock() -= bytes;
        self.given_back.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn who_finds_no_room_waits_until_some_is_given_back_and_a_giant_goes_alone() {
        let room = Room::new(100);
        room.take(60);
        room.take(40);
        let (took, heard) = sync_channel(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                room.take(500);
                took.send(()).expect("somebody listens");
            });
            room.give(60);
            assert!(heard.try_recv().is_err(), "a giant waits for all");
            room.give(40);
            heard.recv().expect("it took the room");
        });
        assert_eq!(*room.lock(), 500);
    }
}
