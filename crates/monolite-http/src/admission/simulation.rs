//! The controller and the shares before a writer that is only a model: groups, commits, a queue, and simulated time.
//!
//! The model is the store's in what matters here: a group takes what waits up to a bound, costs its writes and one
//! commit, and everything is answered when the commit is done.

use super::control::{Control, Round};
use super::shares::{Fault, Shares};
use monolite_service::GroupMax;
use monolite_service::Tenant;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

/// The store's bounds of a group.
const GROUP_WRITES: usize = 1024;
const GROUP_SECONDS: f64 = 0.005;

fn group_max() -> GroupMax {
    GroupMax { writes: GROUP_WRITES, time: Duration::from_secs_f64(GROUP_SECONDS) }
}

/// When a caller that was refused asks again.
const COME_BACK: f64 = 0.02;

/// A disk and a kind of write.
#[derive(Debug, Clone, Copy)]
struct Machine {
    commit: f64,
    write: f64,
    /// What a write takes of the writer's time that nobody counts: replies, wake-ups, others on its processor.
    other: f64,
}

impl Machine {
    fn group(self, waiting: usize) -> usize {
        let time = group_max().time(Duration::from_secs_f64(self.commit)).as_secs_f64();
        waiting.min(GROUP_WRITES).min(((time / self.write) as usize).max(1))
    }

    /// Writes a second with no end of callers.
    fn peak(self) -> f64 {
        let group = self.group(usize::MAX);
        group as f64 / (self.commit + group as f64 * (self.write + self.other))
    }
}

struct World {
    machine: Machine,
    control: Control,
    shares: Shares,
    /// Round robin over tenants, as the store does it.
    queue: VecDeque<Tenant>,
    of: HashMap<Tenant, VecDeque<f64>>,
    waiting: usize,
    now: f64,
    round: (f64, Round),
    done: u64,
    waits: Vec<f64>,
    refused: HashMap<(Tenant, bool), u64>,
    entered: HashMap<Tenant, u64>,
    /// Changes that came, by which the tenants of a load take turns.
    came: u64,
}

/// So many tenants from this number on, and how many changes they send a second together, whatever is answered.
type Load = (u64, u64, f64);

impl World {
    fn new(machine: Machine) -> Self {
        World {
            machine,
            control: Control::new(Duration::from_millis(50), 4096, group_max()),
            shares: Shares::default(),
            queue: VecDeque::new(),
            of: HashMap::new(),
            waiting: 0,
            now: 0.0,
            round: (0.0, Round::default()),
            done: 0,
            waits: Vec::new(),
            refused: HashMap::new(),
            entered: HashMap::new(),
            came: 0,
        }
    }

    fn run(&mut self, seconds: f64, load: &[Load]) {
        let end = self.now + seconds;
        let mut next: Vec<f64> = vec![self.now; load.len()];
        while self.now < end {
            let (group, until) = self.group();
            while let Some(first) = (0..load.len()).min_by(|a, b| next[*a].total_cmp(&next[*b]))
                && next[first] < until
            {
                let (from, tenants, rate) = load[first];
                self.came += 1;
                self.arrive(next[first], Tenant(from + self.came % tenants));
                next[first] += 1.0 / rate;
            }
            self.end(group, until);
        }
    }

    /// Callers of one tenant who each ask again when they were answered, after reads that take so long together on
    /// average, and after [`COME_BACK`] when they were refused. `commit` is the disk's mind, by the time.
    fn run_closed(&mut self, seconds: f64, callers: u64, reads: f64, commit: impl Fn(f64) -> f64) {
        let end = self.now + seconds;
        let micros = |seconds: f64| (seconds * 1e6) as u64;
        let mut back: BinaryHeap<Reverse<u64>> =
            (0..callers).map(|n| Reverse(micros(self.now + reads * n as f64 / callers as f64))).collect();
        while self.now < end {
            self.machine.commit = commit(self.now);
            let (group, until) = self.group();
            while let Some(Reverse(at)) = back.peek().copied()
                && at < micros(until)
            {
                back.pop();
                if !self.arrive(at as f64 / 1e6, Tenant(1)) {
                    back.push(Reverse(at + micros(COME_BACK)));
                }
            }
            for _ in &group {
                // Exponential, from a series that is the same each time.
                self.came = self.came.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let uniform = ((self.came >> 40) as f64 + 1.0) / (1_u64 << 24) as f64;
                back.push(Reverse(micros(until - reads * uniform.ln())));
            }
            self.end(group, until);
        }
    }

    /// Takes a group; when it will be done.
    fn group(&mut self) -> (Vec<Tenant>, f64) {
        let n = self.machine.group(self.waiting);
        let group: Vec<Tenant> = (0..n).filter_map(|_| self.take()).collect();
        let writing = n as f64 * self.machine.write;
        let took = if n == 0 { 0.0005 } else { self.machine.commit + writing + n as f64 * self.machine.other };
        self.round.1.writes += n as u64;
        self.round.1.held += Duration::from_secs_f64(writing);
        if n > 0 {
            self.round.1.commits += 1;
            self.round.1.committing += Duration::from_secs_f64(self.machine.commit);
        }
        (group, self.now + took)
    }

    fn end(&mut self, group: Vec<Tenant>, until: f64) {
        self.now = until;
        self.done += group.len() as u64;
        group.into_iter().for_each(|tenant| self.shares.leave(tenant));
    }

    fn take(&mut self) -> Option<Tenant> {
        let tenant = self.queue.pop_front()?;
        let own = self.of.get_mut(&tenant)?;
        let wait = (self.now - own.pop_front()?).max(0.0);
        if !own.is_empty() {
            self.queue.push_back(tenant);
        }
        self.waiting -= 1;
        self.waits.push(wait);
        self.round.1.waited += Duration::from_secs_f64(wait);
        Some(tenant)
    }

    fn arrive(&mut self, at: f64, tenant: Tenant) -> bool {
        self.turn(at);
        match self.shares.enter(tenant, self.control.limit()) {
            Ok(()) => {
                let own = self.of.entry(tenant).or_default();
                if own.is_empty() {
                    self.queue.push_back(tenant);
                }
                own.push_back(at);
                self.waiting += 1;
                *self.entered.entry(tenant).or_default() += 1;
                self.round.1.most = self.round.1.most.max(self.shares.all());
                true
            }
            Err(fault) => {
                self.round.1.refused += 1;
                *self.refused.entry((tenant, fault == Fault::Own)).or_default() += 1;
                false
            }
        }
    }

    fn turn(&mut self, at: f64) {
        let took = at - self.round.0;
        if took >= self.control.round().as_secs_f64() {
            self.round.1.took = Duration::from_secs_f64(took);
            self.control.learn(&self.round.1);
            self.round = (at, Round { most: self.shares.all(), ..Round::default() });
        }
    }

    /// Goodput as part of the peak, the median wait and the refusals since the last look.
    fn look(&mut self, seconds: f64) -> (f64, f64, u64) {
        let goodput = self.done as f64 / seconds / self.machine.peak();
        self.waits.sort_by(f64::total_cmp);
        let wait = self.waits.get(self.waits.len() / 2).copied().unwrap_or(0.0);
        let refused = self.refused.values().sum();
        (self.done, self.waits) = (0, Vec::new());
        self.refused.clear();
        self.entered.clear();
        (goodput, wait, refused)
    }
}

const MACHINES: [Machine; 7] = [
    Machine { commit: 0.0002, write: 0.00002, other: 0.00003 },
    Machine { commit: 0.002, write: 0.0001, other: 0.0001 },
    Machine { commit: 0.0002, write: 0.00002, other: 0.0 },
    Machine { commit: 0.002, write: 0.0001, other: 0.0 },
    Machine { commit: 0.03, write: 0.0001, other: 0.0 },
    Machine { commit: 0.1, write: 0.0005, other: 0.0 },
    Machine { commit: 0.0002, write: 0.008, other: 0.0 },
];

#[test]
fn at_five_times_the_peak_goodput_holds_and_nobody_waits_long() {
    for machine in MACHINES {
        let mut world = World::new(machine);
        let load = [(0, 40, machine.peak() * 5.0)];
        world.run(2.0, &load);
        world.look(2.0);
        world.run(8.0, &load);
        let wanted = world.control.wanted().as_secs_f64();
        let (goodput, wait, refused) = world.look(8.0);
        assert!(goodput > 0.9, "{machine:?}: {goodput:.2} of the peak");
        assert!(wait < wanted * 2.0, "{machine:?}: {wait:.3} s, wanted {wanted:.3}");
        assert!(refused > 0 && world.waiting <= 4096);
    }
}

#[test]
fn within_a_second_after_the_overload_nobody_is_refused() {
    for machine in MACHINES {
        let mut world = World::new(machine);
        world.run(5.0, &[(0, 40, machine.peak() * 5.0)]);
        let load = [(0, 40, machine.peak() * 0.4)];
        world.run(1.0, &load);
        world.look(1.0);
        world.run(4.0, &load);
        let (goodput, _, refused) = world.look(4.0);
        assert_eq!(refused, 0, "{machine:?}");
        assert!(goodput > 0.35, "{machine:?}: {goodput:.2} of 0.4");
    }
}

#[test]
fn a_disk_that_stalls_and_comes_back_is_used_fully_again_within_a_second() {
    let quick = MACHINES[0];
    let mut world = World::new(quick);
    let load = [(0, 20, quick.peak() * 2.0)];
    world.run(2.0, &load);
    world.machine.commit = 0.3;
    world.run(3.0, &load);
    world.machine = quick;
    world.run(1.0, &load);
    world.look(1.0);
    world.run(2.0, &load);
    let (goodput, _, _) = world.look(2.0);
    assert!(goodput > 0.9, "{goodput:.2} of the peak");
}

/// Half a second of a good disk, then a commit that takes as long as this.
fn stalls(good: f64, stall: f64) -> impl Fn(f64) -> f64 {
    move |now| if now % 0.5 < 0.02 { stall } else { good }
}

#[test]
fn callers_who_mostly_read_are_not_refused_for_a_disk_that_stalls() {
    let mut refused = Vec::new();
    for (commit, stall) in [(0.0005, 0.08), (0.002, 0.15), (0.004, 0.15), (0.004, 0.4), (0.02, 0.3)] {
        for (callers, reads) in [(64, 0.01), (64, 0.08), (512, 0.3), (512, 0.7)] {
            let mut world = World::new(Machine { commit, write: 0.00006, other: 0.00003 });
            world.run_closed(10.0, callers, reads, stalls(commit, stall));
            refused.push((commit, stall, callers, reads, world.look(10.0).2));
        }
    }
    assert!(refused.iter().all(|load| load.4 == 0), "commit, stall, callers, reads, refused: {refused:?}");
}

#[test]
fn callers_who_mostly_read_are_let_in_again_soon_after_slow_commits() {
    let mut world = World::new(Machine { commit: 0.004, write: 0.00006, other: 0.00003 });
    world.run_closed(3.0, 64, 0.08, |_| 0.004);
    world.run_closed(2.0, 64, 0.08, |now| if now % 0.05 < 0.01 { 0.12 } else { 0.004 });
    world.look(5.0);
    world.run_closed(3.0, 64, 0.08, |_| 0.004);
    assert_eq!(world.look(3.0).2, 0);
}

#[test]
fn a_hyperactive_tenant_is_refused_before_quiet_ones() {
    for machine in MACHINES {
        let mut world = World::new(machine);
        // Fifty quiet tenants ask for a fifth of the peak together, one for five times the peak.
        let load = [(0, 50, machine.peak() * 0.2), (99, 1, machine.peak() * 5.0)];
        world.run(3.0, &load);
        world.look(3.0);
        world.run(5.0, &load);
        let own: u64 = world.refused.get(&(Tenant(99), true)).copied().unwrap_or(0);
        let quiet: u64 = world.refused.iter().filter(|((t, _), _)| *t != Tenant(99)).map(|(_, n)| n).sum();
        let entered: u64 = world.entered.iter().filter(|(t, _)| **t != Tenant(99)).map(|(_, n)| n).sum();
        assert!(own > 100, "{machine:?}: {own}");
        assert!(quiet * 50 <= entered, "{machine:?}: {quiet} of {entered} quiet changes were refused");
    }
}

proptest! {
    #[test]
    fn the_limit_stays_in_its_bounds_and_moves_only_for_a_reason(
        ceiling in 1usize..5000,
        rounds in prop::collection::vec((1u64..2000, 0u64..5000, 0u64..10_000_000, 0u64..2000, 0u64..50, 0u64..10_000_000, 0usize..5000), 1..50),
    ) {
        let mut control = Control::new(Duration::from_millis(50), ceiling, group_max());
        for (took, writes, waited, held, commits, committing, most) in rounds {
            let before = control.limit();
            let waited = Duration::from_micros(waited) * u32::try_from(writes).unwrap();
            let round = Round {
                took: Duration::from_millis(took),
                writes,
                waited,
                held: Duration::from_millis(held),
                commits,
                committing: Duration::from_micros(committing) * u32::try_from(commits).unwrap(),
                most,
                refused: 0,
            };
            control.learn(&round);
            let after = control.limit();
            prop_assert!(after >= 8.min(ceiling) && after <= ceiling);
            let wait = waited.checked_div(u32::try_from(writes).unwrap()).unwrap_or_default();
            let busy = (round.held + round.committing) * 10 > round.took * 8;
            prop_assert!(after >= before || wait > control.wanted() || busy);
            prop_assert!(after <= before || (wait <= control.wanted() && most * 100 >= before * 89));
            prop_assert!(control.wanted() <= Duration::from_secs(1));
        }
    }
}

#[test]
fn one_long_hold_does_not_shut_the_gate() {
    let mut control = Control::new(Duration::from_millis(50), 8192, group_max());
    let ms = Duration::from_millis;
    for _ in 0..20 {
        // 100 writes of 50 us in a round, with 4 under way.
        let round = Round {
            took: ms(50),
            writes: 100,
            commits: 25,
            held: ms(5),
            committing: ms(25),
            most: 4,
            ..Round::default()
        };
        control.learn(&round);
    }
    let before = control.limit();
    let slow = Round {
        took: ms(200),
        writes: 4,
        commits: 1,
        held: ms(199),
        committing: ms(1),
        waited: ms(600),
        most: 4,
        ..Round::default()
    };
    control.learn(&slow);
    assert!(control.limit() > 50, "{before} before, {} after", control.limit());
}
