//! Admission: whether one more change of a service is let in, or told to come back.
//!
//! A [`Gate`] stands before each service's writer. The store tells it how long writes waited and commits took (it is fed
//! by the observer); from that the controller sets how many changes may be under way, and shares say whose they may be.
//! Rounds are driven by requests: no thread, no timer. Why so: ADR 12.
//!
//! **Invariants**
//! - Reads never pass here: a writer that has too much to do is no reason to refuse them.
//! - What was let in leaves when its guard is dropped, whatever became of it.
//! - A refusal says when to come back: when those before will have had their turn.

mod control;
mod shares;
#[cfg(test)]
mod simulation;

use crate::problem::Problem;
use crate::status;
use control::{Control, Round};

use monolite_service::{GroupMax, Tenant};
use shares::{Fault, Shares};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest time a refusal asks for: by then all may be different.
const LATER_MAX: Duration = Duration::from_secs(30);

/// What a store says of its writer: sums since the start.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    writes: AtomicU64,
    waited_ns: AtomicU64,
    held_ns: AtomicU64,
    commits: AtomicU64,
    committing_ns: AtomicU64,
}

impl Pressure {
    pub(crate) fn waited(&self, wait: Duration) {
        self.writes.fetch_add(1, Relaxed);
        self.waited_ns.fetch_add(nanos(wait), Relaxed);
    }

    pub(crate) fn held(&self, hold: Duration) {
        self.held_ns.fetch_add(nanos(hold), Relaxed);
    }

    pub(crate) fn committed(&self, commit: Duration) {
        self.commits.fetch_add(1, Relaxed);
        self.committing_ns.fetch_add(nanos(commit), Relaxed);
    }

    fn sums(&self) -> [u64; 5] {
        [&self.writes, &self.waited_ns, &self.held_ns, &self.commits, &self.committing_ns].map(|sum| sum.load(Relaxed))
    }
}

/// The gate before a service's writer.
#[derive(Debug)]
pub(crate) struct Gate {
    pressure: Arc<Pressure>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    control: Control,
    shares: Shares,
    /// When the round began, and the sums then.
    began: Instant,
    sums: [u64; 5],
    most: usize,
    refused: u64,
    refused_own: u64,
    refused_system: u64,
}

/// A change under way.
#[derive(Debug)]
pub(crate) struct Admitted {
    gate: Arc<Gate>,
    tenant: Tenant,
}

/// A change that was not let in.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Problem,
    until: Instant,
}

impl Refusal {
    /// What to answer, once it may leave.
    pub(crate) async fn in_time(self) -> Problem {
        tokio::time::sleep_until(self.until.into()).await;
        self.problem
    }
}

/// What a gate shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) under_way: usize,
    pub(crate) limit: usize,
    pub(crate) refused_own: u64,
    pub(crate) refused_system: u64,
}

impl Gate {
    pub(crate) fn new(pressure: Arc<Pressure>, wait: Duration, most: usize, group_max: GroupMax) -> Self {
        let state = State {
            control: Control::new(wait, most, group_max),
            shares: Shares::default(),
            began: Instant::now(),
            sums: pressure.sums(),
            most: 0,
            refused: 0,
            refused_own: 0,
            refused_system: 0,
        };
        Gate { pressure, state: Mutex::new(state) }
    }

    /// Lets a change of a tenant in, or says why not and when to come back.
    pub(crate) fn enter(self: &Arc<Self>, tenant: Tenant) -> Result<Admitted, Refusal> {
        let mut state = self.turned();
        let limit = state.control.limit();
        match state.shares.enter(tenant, limit) {
            Ok(()) => state.most = state.most.max(state.shares.all()),
            Err(fault) => return Err(state.refuse(fault)),
        }
        Ok(Admitted { gate: self.clone(), tenant })
    }

    /// Whether a change of a tenant would be let in now: asked before its body is read.
    pub(crate) fn look(&self, tenant: Tenant) -> Result<(), Refusal> {
        let mut state = self.turned();
        let limit = state.control.limit();
        state.shares.look(tenant, limit).map_err(|fault| state.refuse(fault))
    }

    pub(crate) fn shown(&self) -> Shown {
        let state = self.turned();
        Shown {
            under_way: state.shares.all(),
            limit: state.control.limit(),
            refused_own: state.refused_own,
            refused_system: state.refused_system,
        }
    }

    /// The state, after the round that may be over.
    fn turned(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let took = state.began.elapsed();
        if took >= state.control.round() {
            let sums = self.pressure.sums();
            state.turn(took, sums);
        }
        state
    }
}

impl State {
    fn turn(&mut self, took: Duration, sums: [u64; 5]) {
        let [writes, waited, held, commits, committing]: [u64; 5] =
            std::array::from_fn(|n| sums[n].wrapping_sub(self.sums[n]));
        self.control.learn(&Round {
            took,
            writes,
            waited: Duration::from_nanos(waited),
            held: Duration::from_nanos(held),
            commits,
            committing: Duration::from_nanos(committing),
            most: self.most,
            refused: self.refused,
        });
        self.began += took;
        self.sums = sums;
        self.most = self.shares.all();
        self.refused = 0;
    }

    fn refuse(&mut self, fault: Fault) -> Refusal {
        self.refused += 1;
        let later = self.control.later(self.shares.all()).min(LATER_MAX);
        let problem = match fault {
            Fault::Own => {
                self.refused_own += 1;
                status::too_many_requests(later)
            }
            Fault::System => {
                self.refused_system += 1;
                status::overloaded(later)
            }
        };
        Refusal { problem, until: Instant::now() + self.control.pause() }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.gate.state.lock().unwrap_or_else(PoisonError::into_inner).shares.leave(self.tenant);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_refuses_beyond_its_limit_and_lets_in_again_after_a_guard_is_dropped() {
        let gate = Arc::new(Gate::new(
            Arc::default(),
            Duration::from_millis(50),
            3,
            GroupMax { writes: 9, time: Duration::from_millis(5) },
        ));
        let inside: Vec<_> = (0..3).map(|n| gate.enter(Tenant(n)).unwrap()).collect();
        let no = gate.enter(Tenant(9)).unwrap_err().problem;
        assert_eq!((no.status().as_u16(), no.code()), (503, "overloaded"));
        assert_eq!(gate.look(Tenant(9)).unwrap_err().problem.status(), 503);
        drop(inside);
        assert!(gate.look(Tenant(9)).is_ok());
        let own: Vec<_> = (0..9).map_while(|_| gate.enter(Tenant(9)).ok()).collect();
        assert_eq!((own.len(), gate.look(Tenant(9)).unwrap_err().problem.status().as_u16()), (3, 429));
        let shown = Shown { under_way: 3, limit: 3, refused_own: 2, refused_system: 2 };
        assert_eq!(gate.shown(), shown);
    }
}
