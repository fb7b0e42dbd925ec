//! A future whose panic and whose lateness are values.
//!
//! **Invariants**
//! - A future that ends at its first poll, as a read does, costs no timer.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

/// Why a future has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// It panicked; the message went to the panic hook.
    Panicked,
    /// It did not end in time.
    Late,
}

/// Polls a future to its end, its panic or the moment, after which it is only dropped.
pub(crate) async fn contained<F: Future>(until: Instant, future: F) -> Result<F::Output, Unfinished> {
    let mut future = pin!(future);
    let mut polled = pin!(poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(Err(Unfinished::Panicked)),
    }));
    if let Poll::Ready(ended) = poll_fn(|cx| Poll::Ready(polled.as_mut().poll(cx))).await {
        return ended;
    }
    tokio::time::timeout_at(until.into(), polled).await.unwrap_or(Err(Unfinished::Late))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn an_end_a_panic_and_lateness_are_told_apart() {
        let soon = || Instant::now() + Duration::from_millis(10);
        assert_eq!(contained(soon(), async { 7 }).await, Ok(7));
        let twice = async {
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(contained(soon() + Duration::from_secs(60), twice).await, Ok(7));
        assert_eq!(contained(soon(), async { panic!("on purpose") }).await, Err::<(), _>(Unfinished::Panicked));
        assert_eq!(contained(soon(), std::future::pending::<()>()).await, Err(Unfinished::Late));
    }
}
