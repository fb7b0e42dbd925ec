//! The scheduler without threads or clocks: shares, order, bounds, starvation, and the number of looks it takes.

mod under_way;

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const QUANTUM: Duration = Duration::from_micros(150);
const BOUNDS: Bounds = Bounds { max: 8192, tenant_max: 2048 };
const GROUP: Limits = Limits { most: 1024, run_ns: 5_000_000, turns: 1, fill_ns: 0 };

/// Work, and what it is expected to cost.
type Priced = (u64, Cost);

fn cost(us: u32) -> Cost {
    Cost { run_ns: us * 1000, charge_ns: us * 1000 }
}

fn fair(weights: &[(u64, u32)]) -> Fair<Priced> {
    Fair::new(QUANTUM, weights.iter().map(|(t, w)| (Tenant(*t), *w)).collect())
}

fn push(fair: &mut Fair<Priced>, tenant: u64, us: u32, work: u64) -> Result<(), Refused> {
    fair.push(Tenant(tenant), BOUNDS, |_| false, (work, cost(us)))
}

fn take(fair: &mut Fair<Priced>, limits: Limits) -> Vec<Taken<u64>> {
    let mut into = VecDeque::new();
    fair.take(limits, &|_, work| work.1, &mut into);
    into.into_iter().map(|t| Taken { tenant: t.tenant, cost: t.cost, work: t.work.0 }).collect()
}

/// What each of these would get if it always had work, in thousandths of the time of all.
#[derive(Debug, Clone)]
struct Hog {
    weight: u32,
    /// What the first piece is said to cost, and what pieces cost in the mean, in microseconds.
    expected: u32,
    really: u32,
    /// It comes back only when its last piece has run: it leaves each time.
    one_by_one: bool,
}

fn shares(hogs: &[Hog], limits: Limits, batches: usize) -> Vec<f64> {
    let weights: Vec<_> = hogs.iter().zip(1..).map(|(h, t)| (t, h.weight)).collect();
    let mut fair = fair(&weights);
    let mut used = vec![0_u64; hogs.len()];
    let mut waiting = vec![0_usize; hogs.len()];
    let mut expected_ns: Vec<u32> = hogs.iter().map(|h| h.expected * 1000).collect();
    let mut random = 1_u64;
    for _ in 0..batches {
        for (n, hog) in hogs.iter().enumerate() {
            // Enough for two rounds, so that it is never without work.
            let wanted = if hog.one_by_one { 1 } else { (4 + 400_000 * hog.weight / expected_ns[n]) as usize };
            while waiting[n] < wanted {
                let cost = Cost { run_ns: expected_ns[n], charge_ns: expected_ns[n] };
                fair.push(Tenant(n as u64 + 1), BOUNDS, |_| false, (0, cost)).unwrap();
                waiting[n] += 1;
            }
        }
        let taken = take(&mut fair, limits);
        assert!(!taken.is_empty(), "work waits and none was taken");
        for t in taken {
            let n = t.tenant.0 as usize - 1;
            waiting[n] -= 1;
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let really = u64::from(hogs[n].really) * (500 + (random >> 33) % 1001); // half to one and a half
            expected_ns[n] = ((u64::from(expected_ns[n]) * 7 + really) / 8) as u32;
            fair.settle(t.tenant, t.cost, really);
            used[n] += really;
        }
    }
    let all: u64 = used.iter().sum();
    used.iter().map(|u| *u as f64 / all as f64).collect()
}

fn check_shares(hogs: &[Hog], limits: Limits, batches: usize) {
    let of_all: f64 = hogs.iter().map(|h| f64::from(h.weight)).sum();
    for (hog, share) in hogs.iter().zip(shares(hogs, limits, batches)) {
        let due = f64::from(hog.weight) / of_all;
        assert!((share - due).abs() < due * 0.1, "{hog:?} got {share:.4} of {due:.4}, of {hogs:?} in {limits:?}");
    }
}

fn hogs() -> impl Strategy<Value = Vec<Hog>> {
    let hog = (1_u32..4, 20_u32..400, prop_oneof![1_u32..50, 50_u32..3000])
        .prop_map(|(weight, expected, really)| Hog { weight, expected, really, one_by_one: false });
    prop::collection::vec(hog, 2..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_share_is_within_a_tenth_of_its_weight_whatever_was_expected(hogs in hogs()) {
        check_shares(&hogs, GROUP, 3000);
    }

    #[test]
    fn order_bounds_and_every_piece_are_kept(
        ops in prop::collection::vec((0_u8..10, 0_u64..6, 1_u32..9000, 0_usize..6), 1..400),
    ) {
        keeps_everything(&ops);
    }
}

/// Replays pushes, batches, pieces given back, and husks, against one list for each tenant.
fn keeps_everything(ops: &[(u8, u64, u32, usize)]) {
    let bounds = Bounds { max: 24, tenant_max: 8 };
    let mut fair: Fair<(u64, bool, Cost)> = Fair::new(QUANTUM, HashMap::new());
    let mut model: BTreeMap<u64, VecDeque<(u64, bool)>> = BTreeMap::new();
    let waiting = |model: &BTreeMap<u64, VecDeque<(u64, bool)>>| {
        model.values().map(|m| m.iter().filter(|w| !w.1).count()).sum::<usize>()
    };
    for (number, (what, tenant, us, back)) in ops.iter().enumerate() {
        let number = number as u64;
        if *what < 7 {
            let is_husk = *what == 6;
            let before = waiting(&model);
            let own = model.entry(*tenant).or_default();
            let mine = own.iter().filter(|w| !w.1).count();
            match fair.push(Tenant(*tenant), bounds, |w| w.1, (number, is_husk, cost(*us))) {
                Ok(()) => {
                    own.push_back((number, is_husk));
                    assert!(before < bounds.max, "the queue was full");
                    assert!(*tenant == 0 || mine < bounds.tenant_max, "the tenant's share was full");
                    if is_husk {
                        fair.husk(Tenant(*tenant), 1);
                    }
                }
                Err(refused) => {
                    let is_full = before >= bounds.max;
                    let is_own = mine >= bounds.tenant_max || mine >= bounds.max - before;
                    assert!(is_full || (*tenant != 0 && is_own), "refused without a reason");
                    assert!(!refused.own_fault || (*tenant != 0 && mine > 0));
                }
            }
        } else {
            let limits = Limits { most: 1 + *what as usize, ..GROUP };
            let mut taken = VecDeque::new();
            fair.take(limits, &|_, w| w.2, &mut taken);
            assert!(taken.len() <= limits.most);
            let keep = taken.len().saturating_sub(*back);
            let returned: Vec<_> = taken.split_off(keep).into();
            for t in taken {
                let own = model.get_mut(&t.tenant.0).unwrap();
                let work = (t.work.0, t.work.1);
                while own.front().is_some_and(|w| w.1 && *w != work) {
                    own.pop_front(); // swept
                }
                assert_eq!(own.pop_front(), Some(work), "tenant {}", t.tenant.0);
                if t.work.1 {
                    fair.husk(t.tenant, -1);
                }
                fair.settle(t.tenant, t.cost, u64::from(*us) * 500);
            }
            returned.into_iter().rev().for_each(|t| fair.give_back(t));
        }
        assert_eq!(fair.len(), waiting(&model));
        let busy = fair.waiting().filter(|(_, n, _)| *n > 0).count();
        assert_eq!(busy, model.values().filter(|m| m.iter().any(|w| !w.1)).count());
    }
    let mut left = BTreeMap::<u64, Vec<u64>>::new();
    while !fair.is_empty() {
        let mut taken = VecDeque::new();
        fair.take(GROUP, &|_, w| w.2, &mut taken);
        assert!(!taken.is_empty(), "work waits and none was taken");
        for t in taken.into_iter().filter(|t| !t.work.1) {
            left.entry(t.tenant.0).or_default().push(t.work.0);
        }
    }
    for (tenant, own) in model {
        let own: Vec<u64> = own.into_iter().filter(|w| !w.1).map(|w| w.0).collect();
        assert_eq!(left.remove(&tenant).unwrap_or_default(), own, "tenant {tenant}");
    }
}

#[test]
fn who_leaves_and_comes_back_earns_nothing() {
    let patient = Hog { weight: 1, expected: 10, really: 10, one_by_one: false };
    let sly = Hog { expected: 10, really: 900, one_by_one: true, ..patient.clone() };
    let got = shares(&[patient.clone(), sly.clone(), patient], Limits { turns: 1, ..GROUP }, 20_000);
    assert!(got[1] < 0.37, "{got:?}");
    let giant = Hog { expected: 20_000, really: 20_000, ..sly };
    let tiny = Hog { weight: 1, expected: 10, really: 10, one_by_one: false };
    let got = shares(&[tiny.clone(), giant, tiny], Limits { turns: 1, ..GROUP }, 40_000);
    assert!(got[1] < 0.37 && got[1] > 0.29, "{got:?}");
}

#[test]
fn a_quiet_tenant_is_in_the_next_batch_beside_any_backlog() {
    let mut fair = fair(&[]);
    for tenant in 1..=2 {
        (0..2000).for_each(|n| push(&mut fair, tenant, 8, n).unwrap());
    }
    for n in 0..50 {
        push(&mut fair, 100, 8, n).unwrap();
        let taken = take(&mut fair, GROUP);
        assert_eq!(taken.iter().filter(|t| t.tenant == Tenant(100)).count(), 1, "batch {n}");
        assert!(taken.len() < 50, "a backlog filled the batch: {}", taken.len());
        (1..=2).for_each(|tenant| while fair.len() < 3900 && push(&mut fair, tenant, 8, n).is_ok() {});
    }
}

#[test]
fn one_tenant_alone_fills_a_batch_to_its_limits() {
    let mut fair = fair(&[]);
    (0..2000).for_each(|n| push(&mut fair, 7, 1, n).unwrap());
    let taken = take(&mut fair, Limits { turns: u32::MAX, ..GROUP });
    assert_eq!(taken.len(), 1024);
    assert!(taken.iter().enumerate().all(|(n, t)| t.work == n as u64));
    let turns = take(&mut fair, Limits { turns: 3, ..GROUP });
    assert!((300..=600).contains(&turns.len()), "three turns of a quantum, the first perhaps begun: {}", turns.len());
}

#[test]
fn a_short_batch_takes_those_in_debt_too_and_no_more_than_it_may() {
    let batches = |fill_us: i64| {
        let mut fair = fair(&[]);
        for tenant in 1..=8 {
            (0..40).for_each(|n| push(&mut fair, tenant, 400 + 90 * tenant as u32, n).unwrap());
        }
        (0..30).map(|_| take(&mut fair, Limits { fill_ns: fill_us * 1000, ..GROUP }).len()).collect::<Vec<_>>()
    };
    let (few, filled) = (batches(0), batches(3000));
    assert!(few[10..].iter().sum::<usize>() < 75, "by their shares alone: {few:?}");
    assert!(filled[10..].iter().all(|n| (2..=6).contains(n)), "filled up to 3 ms: {filled:?}");
    assert!(filled[10..].iter().sum::<usize>() > 80, "filled up to 3 ms: {filled:?}");
    // One of those that would make it too long waits for its round.
    let mut fair = fair(&[]);
    (0..20).for_each(|n| push(&mut fair, 1, 100, n).unwrap());
    (0..2).for_each(|n| push(&mut fair, 2, 4000, n).unwrap());
    let fill = Limits { fill_ns: 1_000_000, ..GROUP };
    let counts: Vec<_> =
        (0..4).map(|_| take(&mut fair, fill).iter().filter(|t| t.tenant == Tenant(2)).count()).collect();
    assert_eq!(counts, [1, 0, 0, 0]);
}

#[test]
fn no_piece_starves_beside_newcomers_without_end_and_giants() {
    let mut fair = fair(&[]);
    push(&mut fair, 1, 8, 0).unwrap();
    push(&mut fair, 2, 50_000, 0).unwrap();
    push(&mut fair, 3, 50_000, 0).unwrap();
    take(&mut fair, Limits { most: 1, ..GROUP }); // some of them are no newcomers any more
    for (tenant, us) in [(1, 8), (2, 50_000), (3, 50_000)] {
        push(&mut fair, tenant, us, 1).unwrap();
    }
    let (mut newcomer, mut seen) = (1000, BTreeMap::<u64, usize>::new());
    for batch in 0..200 {
        while fair.len() < 3000 {
            newcomer += 1;
            push(&mut fair, newcomer, 1000, 0).unwrap();
        }
        for t in take(&mut fair, GROUP).into_iter().filter(|t| t.tenant.0 < 10) {
            seen.insert(t.tenant.0, batch);
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn an_operation_takes_a_constant_number_of_looks() {
    for tenants in [10, 1000] {
        let mut fair = fair(&[]);
        let (mut pieces, mut batches) = (0, 0);
        for round in 0..100_u64 {
            for tenant in 1..=tenants {
                if (tenant + round) % 3 != 0 {
                    pieces += u64::from(push(&mut fair, tenant, 40 + (tenant % 7) as u32 * 90, round).is_ok());
                }
            }
            while !fair.is_empty() {
                batches += 1;
                for t in take(&mut fair, GROUP) {
                    fair.settle(t.tenant, t.cost, 700_000);
                }
            }
        }
        assert!(fair.looks < 6 * pieces + 4 * batches, "{} looks for {pieces} pieces in {batches} batches", fair.looks);
    }
}

#[test]
fn absent_tenants_leave_nothing_behind() {
    let mut fair = fair(&[]);
    for tenant in 1..=3000 {
        push(&mut fair, tenant, 8, 0).unwrap();
    }
    while !fair.is_empty() {
        take(&mut fair, GROUP);
    }
    assert!(fair.is_bloated());
    fair.rest();
    assert_eq!((fair.entries.capacity(), fair.tenants.capacity(), fair.len()), (0, 0, 0));
    for n in 0..10_000 {
        push(&mut fair, n % 5, 8, n).unwrap();
        take(&mut fair, GROUP);
    }
    assert!(fair.entries.len() <= 5, "those who come back take their places again");
}

#[test]
fn a_crowd_leaves_room_for_the_next_tenant() {
    let mut fair: Fair<u64> = Fair::new(QUANTUM, HashMap::new());
    let bounds = Bounds { max: 100, tenant_max: 80 };
    let mut offer = |tenant: u64| fair.push(Tenant(tenant), bounds, |_| false, 0);
    let mut alone = 0;
    while offer(1).is_ok() {
        alone += 1;
    }
    assert_eq!(alone, 50, "never more than there are places left");
    assert_eq!(offer(1), Err(Refused { own_fault: true }));
    for tenant in 2..20 {
        assert_eq!(offer(tenant), Ok(()), "a newcomer gets in");
    }
    while offer(0).is_ok() {}
    assert_eq!(offer(0), Err(Refused { own_fault: false }), "the system fills the queue to its bound");
    assert_eq!(offer(30), Err(Refused { own_fault: false }));
}

#[test]
fn who_was_charged_too_much_does_not_wait_for_it() {
    let mut fair = fair(&[]);
    for n in 0..200 {
        push(&mut fair, 1, 140, n).unwrap();
    }
    take(&mut fair, GROUP); // nobody is a newcomer any more
    push(&mut fair, 2, 4_000, 0).unwrap();
    let charged = take(&mut fair, GROUP).into_iter().find(|t| t.tenant == Tenant(2)).unwrap();
    push(&mut fair, 2, 10, 1).unwrap();
    fair.settle(Tenant(2), charged.cost, 10_000);
    assert!(take(&mut fair, GROUP).iter().any(|t| t.work == 1 && t.tenant == Tenant(2)), "in the next batch");
    let charged = Cost { run_ns: 0, charge_ns: 6_000_000 };
    push(&mut fair, 2, 6_000, 2).unwrap();
    while !take(&mut fair, Limits { run_ns: 100_000_000, ..GROUP }).iter().any(|t| t.tenant == Tenant(2)) {}
    push(&mut fair, 2, 10, 3).unwrap();
    fair.settle(Tenant(2), charged, 3_000_000);
    let mut batches = 1;
    while !take(&mut fair, GROUP).iter().any(|t| t.tenant == Tenant(2)) {
        batches += 1;
    }
    assert!((18..=22).contains(&batches), "it pays what it owes, 20 quanta, and no more: {batches}");
}

#[test]
fn what_is_learnt_while_work_waits_counts() {
    let mut fair: Fair<u64> = Fair::new(QUANTUM, HashMap::new());
    let mut into = VecDeque::new();
    for tenant in 1..=20 {
        fair.push(Tenant(tenant), BOUNDS, |_| false, tenant).unwrap();
    }
    fair.take(GROUP, &|_, _| cost(50_000), &mut into);
    assert_eq!(into.len(), 1, "each seemed to need a batch of its own");
    into.clear();
    fair.take(GROUP, &|_, _| cost(10), &mut into);
    assert_eq!(into.len(), 19);
}
