//! Work that was taken and has not ended: how much of a tenant may be under way, and who is next meanwhile.

use super::*;

#[test]
fn a_tenant_with_enough_under_way_waits_until_one_ends() {
    let mut fair = fair(&[]);
    let one = Limits { most: 1, run_ns: i64::MAX, turns: u32::MAX, fill_ns: 0 };
    (0..4).for_each(|n| push(&mut fair, 1, 100_000, n).unwrap());
    for n in 0..2 {
        assert_eq!(take(&mut fair, one)[0].work, n);
        fair.pin(Tenant(1), 2);
    }
    assert!(take(&mut fair, one).is_empty(), "two are under way");
    push(&mut fair, 1, 100_000, 4).unwrap();
    push(&mut fair, 2, 100, 9).unwrap();
    assert_eq!((fair.len(), fair.tenants()), (4, 2));
    assert_eq!(take(&mut fair, one)[0].work, 9, "another tenant's is taken");
    fair.pin(Tenant(2), 2);
    fair.settle(Tenant(1), Cost { run_ns: 100_000_000, charge_ns: 100_000_000 }, 5_000_000_000);
    fair.unpin(Tenant(1));
    assert_eq!(take(&mut fair, one)[0].work, 2, "in its order, once one has ended");
    fair.pin(Tenant(1), 2);
    push(&mut fair, 2, 100, 10).unwrap();
    fair.unpin(Tenant(1));
    fair.unpin(Tenant(1));
    assert_eq!(take(&mut fair, one)[0].work, 10, "who is in debt waits");
    assert_eq!(take(&mut fair, one)[0].work, 3, "but not for nobody");
}

/// One piece at a time, as the slow lane takes them: a tenant with something under way and nothing waiting is in nobody's
/// way, a newcomer's least of all.
#[test]
fn newcomer_is_taken_beside_a_tenant_whose_only_work_is_under_way() {
    let bounds = Bounds { max: 100, tenant_max: 100 };
    let one = Limits { most: 1, run_ns: i64::MAX, turns: u32::MAX, fill_ns: 0 };
    let cost = Cost { run_ns: 5_000_000, charge_ns: 5_000_000 };
    for rounds in 0..4 {
        let mut fair = Fair::new(Duration::from_millis(10), HashMap::new());
        let mut into = VecDeque::new();
        let mut take = |fair: &mut Fair<u32>| {
            fair.take(one, &|_, _| cost, &mut into);
            into.pop_front().map(|taken| taken.work)
        };
        (0..rounds).for_each(|_| assert_eq!(take(&mut fair), None));
        fair.push(Tenant(1), bounds, |_| false, 10).unwrap();
        assert_eq!(take(&mut fair), Some(10));
        fair.pin(Tenant(1), 2);
        for work in [20, 21, 22] {
            fair.push(Tenant(2), bounds, |_| false, work).unwrap();
        }
        assert_eq!([take(&mut fair), take(&mut fair), take(&mut fair)], [Some(20), Some(21), Some(22)]);
        fair.push(Tenant(1), bounds, |_| false, 11).unwrap();
        assert_eq!(take(&mut fair), Some(11), "its second thread is free");
        fair.pin(Tenant(1), 2);
        fair.push(Tenant(1), bounds, |_| false, 12).unwrap();
        assert_eq!(take(&mut fair), None, "it has both");
        fair.unpin(Tenant(1));
        assert_eq!(take(&mut fair), Some(12));
        fair.unpin(Tenant(1));
        fair.unpin(Tenant(1));
        assert_eq!((take(&mut fair), fair.len()), (None, 0));
    }
}

#[test]
fn what_is_under_way_is_remembered_when_all_else_is_forgotten() {
    let one = Limits { most: 1, run_ns: i64::MAX, turns: u32::MAX, fill_ns: 0 };
    let mut fair = fair(&[]);
    (0..3).for_each(|n| push(&mut fair, 1, 5_000, n).unwrap());
    for _ in 0..2 {
        assert_eq!(take(&mut fair, one).len(), 1);
        fair.pin(Tenant(1), 2);
    }
    (2..200).for_each(|tenant| push(&mut fair, tenant, 5_000, 9).unwrap());
    while !take(&mut fair, one).is_empty() {}
    fair.unpin(Tenant(1));
    assert_eq!(take(&mut fair, one)[0].work, 2);
    fair.pin(Tenant(1), 2);
    while !take(&mut fair, one).is_empty() {}
    assert!(fair.is_bloated());
    fair.rest();
    push(&mut fair, 1, 5_000, 3).unwrap();
    assert!(take(&mut fair, one).is_empty(), "two of it are under way");
    fair.unpin(Tenant(1));
    assert_eq!(take(&mut fair, one)[0].work, 3);
    fair.unpin(Tenant(1));
    assert!(take(&mut fair, one).is_empty());
    assert_eq!((fair.len(), fair.tenants()), (0, 0));
}
