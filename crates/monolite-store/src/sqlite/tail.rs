//! The end of a WAL that is being written: appended frames held back until somebody could need them.
//!
//! SQLite appends a frame by two writes, 24 bytes of header and a page. A group of 58 pages is 116 system calls that
//! cost more than its fsync. Here they become one.
//!
//! **Invariants**
//! - Bytes in the buffer are the end of the file as SQLite sees it: contiguous, beginning at `at`.
//! - Only appended frames are held back: a header of 24 bytes at or past all that was appended in this transaction, and
//!   the page behind it. Everything else is written through, after the buffer.
//! - The page behind a header with a commit mark is never held back, so nothing that a wal-index publishes is, whatever
//!   `synchronous` says.
//! - A failed flush empties the buffer and makes every later write, sync and read of this transaction fail with the same
//!   code: what SQLite believes to be in the file is not there.

use std::ffi::c_int;

/// What lies below: the real file.
pub(super) trait Below {
    /// Writes all bytes, or answers SQLite's code.
    fn write(&mut self, data: &[u8], at: i64) -> c_int;
}

/// Most bytes held back; 127 frames of 4 KiB pages.
pub(super) const HELD_MAX: usize = 512 << 10;

const OK: c_int = 0;
const FRAME_HEADER: usize = 24;

/// The end of one WAL file.
#[derive(Debug, Default)]
pub(super) struct Tail {
    held: Vec<u8>,
    at: i64,
    /// The end of the last appended frame of this transaction.
    appended: i64,
    expects: Expects,
    broken: c_int,
}

/// What the next contiguous write would be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Expects {
    #[default]
    Header,
    Page,
    LastPage,
}

impl Tail {
    /// Takes a write of SQLite's.
    pub(super) fn write(&mut self, below: &mut impl Below, data: &[u8], at: i64) -> c_int {
        if !self.held.is_empty() && at != self.end() {
            self.flush(below);
        }
        if self.broken != OK {
            return self.broken;
        }
        match self.expects {
            Expects::Header if data.len() == FRAME_HEADER && at >= self.appended => {
                if !self.hold(data, at) {
                    return below.write(data, at);
                }
                let mark = data[4..8] != [0; 4];
                self.expects = if mark { Expects::LastPage } else { Expects::Page };
                OK
            }
            Expects::Page | Expects::LastPage if self.held.len() >= FRAME_HEADER => {
                let last = self.expects == Expects::LastPage;
                self.expects = Expects::Header;
                self.appended = at + data.len() as i64;
                if !self.hold(data, at) {
                    let flushed = self.flush(below);
                    return if flushed == OK { below.write(data, at) } else { flushed };
                }
                if last || self.held.len() >= HELD_MAX { self.flush(below) } else { OK }
            }
            _ => below.write(data, at),
        }
    }

    /// To be called before anything but a write reaches the file: sync, size, truncate, close, control.
    pub(super) fn flush(&mut self, below: &mut impl Below) -> c_int {
        self.expects = Expects::Header;
        if !self.held.is_empty() && self.broken == OK {
            self.broken = below.write(&self.held, self.at);
        }
        self.held.clear();
        self.broken
    }

    /// To be called before a read of `length` bytes: only bytes held back must reach the file first.
    pub(super) fn before_read(&mut self, below: &mut impl Below, length: usize, at: i64) -> c_int {
        if self.broken != OK || (!self.held.is_empty() && at < self.end() && at + length as i64 > self.at) {
            return self.flush(below);
        }
        OK
    }

    /// The write lock is about to be released: whatever is held was rolled back, and after this moment another
    /// connection may write frames to the same place.
    pub(super) fn release(&mut self, below: &mut impl Below) {
        self.flush(below);
        self.broken = OK;
        self.appended = 0;
    }

    /// The file is being closed: without the write lock nothing may be written.
    pub(super) fn forget(&mut self) {
        *self = Tail::default();
    }

    fn end(&self) -> i64 {
        self.at + self.held.len() as i64
    }

    /// Without memory nothing is held back.
    fn hold(&mut self, data: &[u8], at: i64) -> bool {
        if self.held.try_reserve(data.len()).is_err() {
            return false;
        }
        if self.held.is_empty() {
            self.at = at;
        }
        self.held.extend_from_slice(data);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Disk {
        bytes: Vec<u8>,
        writes: usize,
        room: Option<usize>,
    }

    impl Below for Disk {
        fn write(&mut self, data: &[u8], at: i64) -> c_int {
            self.writes += 1;
            let end = at as usize + data.len();
            let fits = self.room.map_or(data.len(), |room| data.len().min(room.saturating_sub(at as usize)));
            self.bytes.resize(self.bytes.len().max(at as usize + fits), 0);
            self.bytes[at as usize..at as usize + fits].copy_from_slice(&data[..fits]);
            if self.room.is_some_and(|room| end > room) { 13 } else { OK }
        }
    }

    fn header(n: u8, mark: bool) -> [u8; 24] {
        let mut h = [n; 24];
        h[4..8].fill(u8::from(mark));
        h
    }

    fn frame(tail: &mut Tail, disk: &mut Disk, n: i64, mark: bool) -> c_int {
        let at = 32 + n * 4120;
        match tail.write(disk, &header(n as u8, mark), at) {
            OK => tail.write(disk, &[n as u8; 4096], at + 24),
            rc => rc,
        }
    }

    #[test]
    fn group_of_58_frames_is_one_write_and_is_complete_at_its_mark() {
        let (mut tail, mut disk) = (Tail::default(), Disk::default());
        for n in 0..58 {
            assert_eq!(disk.writes, 0);
            assert_eq!(frame(&mut tail, &mut disk, n, n == 57), OK);
        }
        assert_eq!((disk.writes, disk.bytes.len()), (1, 32 + 58 * 4120));
        assert_eq!(tail.flush(&mut disk), OK);
        assert_eq!(disk.writes, 1);
    }

    #[test]
    fn large_group_is_bounded_in_memory() {
        let (mut tail, mut disk) = (Tail::default(), Disk::default());
        for n in 0..4096 {
            frame(&mut tail, &mut disk, n, n == 4095);
            assert!(tail.held.len() < HELD_MAX);
        }
        assert_eq!(disk.writes, 4096usize.div_ceil(128));
        assert!(tail.held.capacity() <= 2 * HELD_MAX);
    }

    #[test]
    fn failed_flush_fails_the_whole_transaction_and_nothing_of_it_is_written_later() {
        let (mut tail, mut disk) = (Tail::default(), Disk { room: Some(5000), ..Disk::default() });
        for n in 0..3 {
            assert_eq!(frame(&mut tail, &mut disk, n, false), OK);
        }
        assert_eq!(tail.before_read(&mut disk, 4096, 56), 13);
        let writes = disk.writes;
        assert_eq!(frame(&mut tail, &mut disk, 3, true), 13);
        assert_eq!(tail.flush(&mut disk), 13);
        assert_eq!(tail.before_read(&mut disk, 10, 0), 13);
        assert_eq!(disk.writes, writes);
        tail.release(&mut disk);
        disk.room = None;
        assert_eq!(frame(&mut tail, &mut disk, 0, true), OK);
        assert_eq!(disk.bytes[32 + 4120..].iter().filter(|b| **b == 2).count(), 0);
    }

    #[test]
    fn nothing_is_held_once_the_write_lock_is_released_or_the_file_closed() {
        let (mut tail, mut disk) = (Tail::default(), Disk::default());
        frame(&mut tail, &mut disk, 0, false);
        tail.release(&mut disk);
        assert_eq!((disk.writes, disk.bytes.len()), (1, 32 + 4120));
        frame(&mut tail, &mut disk, 1, false);
        tail.forget();
        tail.flush(&mut disk);
        assert_eq!(disk.writes, 1);
    }

    #[test]
    fn rewritten_header_without_its_page_goes_through() {
        let (mut tail, mut disk) = (Tail::default(), Disk::default());
        for n in 0..4 {
            frame(&mut tail, &mut disk, n, n == 3);
        }
        assert_eq!(tail.write(&mut disk, &header(9, true), 32 + 4120), OK);
        assert_eq!(disk.bytes[32 + 4120], 9);
        assert_eq!((disk.writes, tail.held.len()), (2, 0));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Frame(i64, bool),
        Write(i64, usize),
        Read(i64, usize),
        Sync,
        Release,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0..12i64, prop::bool::weighted(0.2)).prop_map(|(n, m)| Step::Frame(n, m)),
            2 => (0..40_000i64, prop_oneof![Just(24usize), Just(32), Just(4096), 1..5000usize]).prop_map(|(a, n)| Step::Write(a, n)),
            2 => (0..40_000i64, 1..5000usize).prop_map(|(a, n)| Step::Read(a, n)),
            1 => Just(Step::Sync),
            1 => Just(Step::Release),
        ]
    }

    proptest! {
        /// Whatever is written in whatever order: what a read, a sync or a commit mark makes visible is what a file
        /// without the buffer would show, and so is the end.
        #[test]
        fn file_is_the_same_as_without_the_buffer(steps in prop::collection::vec(step(), 1..60), growing in any::<bool>()) {
            let (mut tail, mut disk, mut plain) = (Tail::default(), Disk::default(), Disk::default());
            let mut next = 0;
            for (i, s) in steps.into_iter().enumerate() {
                let fill = i as u8;
                match s {
                    Step::Frame(n, mark) => {
                        let n = if growing { next += 1; next } else { n };
                        let at = 32 + n * 4120;
                        for (data, at) in [(header(fill, mark).to_vec(), at), (vec![fill; 4096], at + 24)] {
                            assert_eq!(tail.write(&mut disk, &data, at), OK);
                            plain.write(&data, at);
                        }
                        if mark { assert!(tail.held.is_empty()); }
                    }
                    Step::Write(at, n) => {
                        assert_eq!(tail.write(&mut disk, &vec![fill; n], at), OK);
                        plain.write(&vec![fill; n], at);
                    }
                    Step::Read(at, n) => {
                        assert_eq!(tail.before_read(&mut disk, n, at), OK);
                        let see = |d: &Disk| (at..at + n as i64).map(|i| d.bytes.get(i as usize).copied().unwrap_or(0)).collect::<Vec<_>>();
                        assert!(see(&disk) == see(&plain), "step {i}");
                    }
                    Step::Sync => { assert_eq!(tail.flush(&mut disk), OK); assert!(disk.bytes == plain.bytes); }
                    Step::Release => { tail.release(&mut disk); assert!(disk.bytes == plain.bytes); }
                }
            }
            tail.flush(&mut disk);
            assert!(disk.bytes == plain.bytes);
        }
    }
}
