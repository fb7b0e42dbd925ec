//! Turns: pieces of all uploads and removals go to the writer one after another.
//!
//! So a group of writes holds one piece at most, whatever the number of uploads: who writes a few bytes waits for one
//! piece, not for one of each upload.
//!
//! **Invariants**
//! - Who came first is first. Who goes away while waiting, or in the middle of a turn, holds nobody up.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The turns of one service. Clones are the same turns.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    taken: bool,
    last: u64,
    waiting: VecDeque<(u64, Waker)>,
}

/// A turn; it ends when this goes.
pub(super) struct Turn(Turns);

/// Waits for a turn.
pub(super) struct Wait {
    turns: Turns,
    number: Option<u64>,
}

impl Turns {
    /// Waits for its turn.
    pub(super) fn take(&self) -> Wait {
        Wait { turns: self.clone(), number: None }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_next(&self) {
        let next = {
            let state = self.state();
            if state.taken { None } else { state.waiting.front().map(|(_, waker)| waker.clone()) }
        };
        next.into_iter().for_each(Waker::wake);
    }
}

impl Future for Wait {
    type Output = Turn;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn> {
        let turns = self.turns.clone();
        let mut state = turns.state();
        let is_first = match (self.number, state.waiting.front()) {
            (_, None) => true,
            (number, Some((first, _))) => number == Some(*first),
        };
        if is_first && !state.taken {
            state.taken = true;
            if self.number.take().is_some() {
                state.waiting.pop_front();
            }
            drop(state);
            return Poll::Ready(Turn(turns));
        }
        match self.number {
            Some(number) => {
                if let Some((_, waker)) = state.waiting.iter_mut().find(|(waiting, _)| *waiting == number) {
                    waker.clone_from(cx.waker());
                }
            }
            None => {
                state.last += 1;
                self.number = Some(state.last);
                let entry = (state.last, cx.waker().clone());
                state.waiting.push_back(entry);
            }
        }
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.turns.state().waiting.retain(|(waiting, _)| *waiting != number);
            self.turns.wake_next();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.state().taken = false;
        self.0.wake_next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Bell(AtomicU32);
    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn rung(bell: &Bell) -> bool {
        bell.0.swap(0, Ordering::Relaxed) > 0
    }

    #[test]
    fn turns_come_in_order_and_who_goes_away_holds_nobody_up() {
        let (turns, bells) = (Turns::default(), [(); 4].map(|()| Arc::new(Bell::default())));
        let wakers = bells.clone().map(Waker::from);
        let poll = |wait: &mut Pin<Box<Wait>>, n: usize| match wait.as_mut().poll(&mut Context::from_waker(&wakers[n]))
        {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        };
        let [mut a, mut b, mut c, mut d] = [(); 4].map(|()| Box::pin(turns.take()));
        let first = poll(&mut a, 0).expect("nobody else is there");
        assert!(poll(&mut b, 1).is_none() && poll(&mut c, 2).is_none() && poll(&mut d, 3).is_none());
        drop(first);
        assert!(rung(&bells[1]) && !rung(&bells[2]));
        assert!(poll(&mut c, 2).is_none(), "it is not its turn");
        drop(b); // it was woken and goes away: the next is woken
        assert!(rung(&bells[2]));
        let third = poll(&mut c, 2).expect("it is its turn");
        let mut late = pin!(turns.take());
        assert!(late.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(third);
        assert!(rung(&bells[3]));
        assert!(poll(&mut d, 3).is_some());
    }
}
