//! The JSON of replies: small ones where they are, large ones on threads for it.
//!
//! How large a reply is shows only when it is written. So writing stops at a bound, and what is larger is written again on
//! another thread: an async worker is never kept longer than that bound takes.
//!
//! **Invariants**
//! - The same value gives the same bytes either way.

use crate::failure::Failure;
use crate::pool::Pool;
use serde::Serialize;
use std::io::{self, Write};
use std::sync::LazyLock;

/// The largest reply that is written where it is.
pub(super) const SMALL_BYTES: usize = 64 << 10;

/// Threads for large replies. As many wait as there are requests, and those are bounded by the edge.
static LARGE: LazyLock<Pool> = LazyLock::new(|| Pool::new("large-replies", 2, 65_536));

/// The JSON of a value, if it is small.
pub(super) fn small<T: Serialize>(value: &T) -> Result<Option<Vec<u8>>, serde_json::Error> {
    let mut bounded = Bounded(Vec::with_capacity(128));
    match serde_json::to_writer(&mut bounded, value) {
        Ok(()) => Ok(Some(bounded.0)),
        Err(full) if full.is_io() => Ok(None),
        Err(wrong) => Err(wrong),
    }
}

/// Does what a large reply needs on a thread for it.
pub(super) async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    LARGE.run(work).await
}

struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > SMALL_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_written_and_what_does_not_is_told_from_what_is_wrong() {
        let text = |n: usize| "x".repeat(n);
        assert_eq!(small(&text(SMALL_BYTES - 2)).unwrap().map(|json| json.len()), Some(SMALL_BYTES));
        assert_eq!(small(&text(SMALL_BYTES - 1)).unwrap(), None);
        let wrong = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(small(&wrong).is_err(), "keys of JSON are texts");
    }
}
