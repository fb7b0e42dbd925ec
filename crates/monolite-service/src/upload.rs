//! Uploads: the bytes that come with a message, whole or as they arrive.
//!
//! **Invariants**
//! - Of an upload that arrives, no more than one piece is held; the sender waits until it is asked for the next.
//! - A piece has the length that was asked for, but for the last one.
//!
//! Never here: how long a sender may take, and what it is told; the edge that made the upload knows.

use crate::failure::Failure;
use bytes::Bytes;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

/// Room taken at once for a piece that is still arriving.
const ROOM_MAX: usize = 64 << 10;

/// Where the bytes of an upload come from.
pub trait Incoming: Send {
    /// The next bytes, as many as there are; none at the end.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>>;
}

/// The bytes that come with a message; the argument of a [`receive`](crate::Service::receive) handler.
pub struct Upload {
    length: Option<u64>,
    /// What came and was not taken yet.
    rest: Bytes,
    from: Option<Box<dyn Incoming>>,
}

impl Upload {
    /// An upload that arrives, with its length where that is known.
    pub fn incoming(length: Option<u64>, from: impl Incoming + 'static) -> Self {
        Upload { length, rest: Bytes::new(), from: Some(Box::new(from)) }
    }

    /// How many bytes the sender said there are, from the beginning of this upload to its end.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Waits for the next piece of so many bytes; the last may have fewer, and after it there is none.
    ///
    /// # Errors
    /// Where the upload broke off or took too long. What was taken before is whole; pass the error on.
    pub async fn piece(&mut self, bytes: u64) -> Result<Option<Bytes>, Failure> {
        let asked = usize::try_from(bytes).unwrap_or(usize::MAX).max(1);
        if self.rest.len() >= asked {
            return Ok(Some(self.rest.split_to(asked)));
        }
        let mut piece = Vec::new();
        loop {
            let taken = self.rest.len().min(asked - piece.len());
            // Many small arrivals become one piece; one that is the whole piece is passed on as it came.
            if piece.is_empty() && taken == asked {
                return Ok(Some(self.rest.split_to(asked)));
            }
            if taken > 0 {
                if piece.is_empty() {
                    let said = self.length.and_then(|length| usize::try_from(length).ok());
                    piece.reserve_exact(asked.min(said.unwrap_or(asked)).clamp(taken, ROOM_MAX.max(taken)));
                }
                piece.extend_from_slice(&self.rest.split_to(taken));
            }
            if piece.len() == asked {
                return Ok(Some(piece.into()));
            }
            let Some(from) = &mut self.from else { break };
            match poll_fn(|cx| from.poll_bytes(cx)).await {
                Some(more) => self.rest = more?,
                None => self.from = None,
            }
        }
        Ok(if piece.is_empty() { None } else { Some(piece.into()) })
    }

    /// All of it, where it did not have to arrive.
    pub(crate) fn whole(self) -> Result<Bytes, Failure> {
        match self.from {
            None => Ok(self.rest),
            Some(_) => Err(Failure::internal("an upload that arrives was given to a handler that takes it whole")),
        }
    }
}

impl From<Bytes> for Upload {
    fn from(bytes: Bytes) -> Self {
        Upload { length: Some(bytes.len() as u64), rest: bytes, from: None }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureKind;
    use std::collections::VecDeque;
    use std::pin::pin;
    use std::task::Waker;

    struct Arriving(VecDeque<Result<Bytes, Failure>>);
    impl Incoming for Arriving {
        fn poll_bytes(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    fn now<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("nothing here waits"),
        }
    }

    fn pieces(mut upload: Upload, bytes: u64) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| now(upload.piece(bytes)).unwrap().map(|piece| piece.to_vec())).collect()
    }

    #[test]
    fn pieces_have_the_asked_length_however_the_bytes_arrive() {
        let all: Vec<u8> = (0..100).collect();
        for arrivals in [1, 3, 7, 10, 64, 100] {
            let parts = || all.chunks(arrivals).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
            for asked in [1, 5, 10, 33, 100, 1000] {
                let expected: Vec<_> = all.chunks(asked).map(<[u8]>::to_vec).collect();
                assert_eq!(pieces(Upload::incoming(None, Arriving(parts())), asked as u64), expected);
                assert_eq!(pieces(Upload::from(Bytes::from(all.clone())), asked as u64), expected);
            }
        }
        assert!(pieces(Upload::incoming(None, Arriving([Ok(Bytes::new())].into())), 8).is_empty());
    }

    #[test]
    fn what_came_before_a_break_is_given_and_the_break_is_said() {
        let broken = Failure::new(FailureKind::Interrupted, "x");
        let from = Arriving([Ok(Bytes::from_static(b"abcd")), Err(broken)].into());
        let mut upload = Upload::incoming(Some(9), from);
        assert_eq!(now(upload.piece(3)).unwrap().unwrap(), "abc");
        assert_eq!(now(upload.piece(3)).unwrap_err().kind(), FailureKind::Interrupted);
        assert_eq!(upload.length(), Some(9));
    }
}
