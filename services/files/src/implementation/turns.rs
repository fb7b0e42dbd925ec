//! Turns: pieces of all uploads and removals go to the writer one after another.
//!
//! So a group of writes holds one piece at most, whatever the number of uploads: who writes a few bytes waits for one
//! piece, not for one of each upload. And turns go round the tenants, not the uploads: who sends eight files at once waits
//! for himself.
//!
//! **Invariants**
//! - Between two turns of a tenant each other one that waits has one. Of one tenant, who came first is first.
//! - Who goes away while waiting, or in the middle of a turn, holds nobody up.

use monolite_service::Tenant;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The turns of one service. Clones are the same turns.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Whose turn it is.
    taken: Option<Tenant>,
    last: u64,
    /// In the order of their turns; none without somebody in it.
    lines: VecDeque<Line>,
}

/// Those of one tenant who wait, by the numbers that they drew.
struct Line {
    tenant: Tenant,
    waiting: VecDeque<(u64, Waker)>,
}

/// A turn; it ends when this goes.
pub(super) struct Turn(Turns);

/// Waits for a turn.
pub(super) struct Wait {
    turns: Turns,
    tenant: Tenant,
    number: Option<u64>,
}

impl Turns {
    /// Waits for a turn of this tenant.
    pub(super) fn take(&self, tenant: Tenant) -> Wait {
        Wait { turns: self.clone(), tenant, number: None }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_next(&self) {
        let next = {
            let state = self.state();
            if state.taken.is_some() { None } else { state.next().map(|(_, waker)| waker.clone()) }
        };
        next.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn next(&self) -> Option<&(u64, Waker)> {
        self.lines.front().and_then(|line| line.waiting.front())
    }

    /// The next one begins; his tenant goes behind the others.
    fn begin_next(&mut self) {
        if let Some(mut line) = self.lines.pop_front() {
            line.waiting.pop_front();
            if !line.waiting.is_empty() {
                self.lines.push_back(line);
            }
        }
    }

    /// The turn ends: its tenant is not next, even if he got in line before all others.
    fn end(&mut self) {
        let ended = self.taken.take();
        if self.lines.front().is_some_and(|line| Some(line.tenant) == ended) {
            self.lines.rotate_left(1);
        }
    }

    fn get_in_line(&mut self, tenant: Tenant, waker: Waker) -> u64 {
        self.last += 1;
        let entry = (self.last, waker);
        match self.lines.iter_mut().find(|line| line.tenant == tenant) {
            Some(line) => line.waiting.push_back(entry),
            None => self.lines.push_back(Line { tenant, waiting: VecDeque::from([entry]) }),
        }
        self.last
    }

    fn leave(&mut self, number: u64) {
        for line in &mut self.lines {
            line.waiting.retain(|(waiting, _)| *waiting != number);
        }
        self.lines.retain(|line| !line.waiting.is_empty());
    }
}

impl Future for Wait {
    type Output = Turn;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn> {
        let turns = self.turns.clone();
        let mut state = turns.state();
        let is_next = state.next().map(|(next, _)| *next) == self.number;
        if is_next && state.taken.is_none() {
            state.taken = Some(self.tenant);
            if self.number.take().is_some() {
                state.begin_next();
            }
            drop(state);
            return Poll::Ready(Turn(turns));
        }
        match self.number {
            Some(number) => {
                let mut all = state.lines.iter_mut().flat_map(|line| &mut line.waiting);
                if let Some((_, waker)) = all.find(|(waiting, _)| *waiting == number) {
                    waker.clone_from(cx.waker());
                }
            }
            None => self.number = Some(state.get_in_line(self.tenant, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.turns.state().leave(number);
            self.turns.wake_next();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.state().end();
        self.0.wake_next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    const A: Tenant = Tenant(1);
    const B: Tenant = Tenant(2);

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
        let [mut a, mut b, mut c, mut d] = [(); 4].map(|()| Box::pin(turns.take(A)));
        let first = poll(&mut a, 0).expect("nobody else is there");
        assert!(poll(&mut b, 1).is_none() && poll(&mut c, 2).is_none() && poll(&mut d, 3).is_none());
        drop(first);
        assert!(rung(&bells[1]) && !rung(&bells[2]));
        assert!(poll(&mut c, 2).is_none(), "it is not its turn");
        drop(b); // it was woken and goes away: the next is woken
        assert!(rung(&bells[2]));
        let third = poll(&mut c, 2).expect("it is its turn");
        let mut late = pin!(turns.take(A));
        assert!(late.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(third);
        assert!(rung(&bells[3]));
        assert!(poll(&mut d, 3).is_some());
    }

    #[test]
    fn turns_go_round_the_tenants_however_many_uploads_one_has() {
        let turns = Turns::default();
        let cx = &mut Context::from_waker(Waker::noop());
        let first = Box::pin(turns.take(A)).as_mut().poll(cx);
        let tenants = [A, A, A, A, A, B, B, Tenant(3)];
        let mut waiting = tenants.map(|tenant| Some(Box::pin(turns.take(tenant))));
        for wait in waiting.iter_mut().flatten() {
            assert!(wait.as_mut().poll(cx).is_pending());
        }
        drop(first);
        let mut order = Vec::new();
        while order.len() < tenants.len() {
            let is_ready = |wait: &mut Option<Pin<Box<Wait>>>| {
                let turn = wait.as_mut().map(|wait| wait.as_mut().poll(cx));
                turn.filter(Poll::is_ready).inspect(|_| *wait = None)
            };
            let turns: Vec<_> = waiting.iter_mut().map(is_ready).collect();
            let place = turns.iter().position(Option::is_some).expect("one of them is next");
            order.push((tenants[place].0, place));
        }
        assert_eq!(order, [(2, 5), (3, 7), (1, 0), (2, 6), (1, 1), (1, 2), (1, 3), (1, 4)]);
        assert!(turns.state().lines.is_empty());
    }
}
