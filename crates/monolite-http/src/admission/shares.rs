//! Shares: who has how many changes under way, and who may begin one more.
//!
//! Dynamic thresholds (Choudhury and Hahne, 1998): a tenant may hold a multiple of what is *free*. One alone gets nearly
//! all, several share, and a part always stays free for those who come next; nobody has to know who will.
//!
//! **Invariants**
//! - Never more under way than the limit and a quarter, but for a limit that shrank meanwhile.
//! - A tenant below an equal share is let in while anything is free, and a little longer.
//! - Constant time; as many entries as tenants with changes under way.
//!
//! Never here: the limit, time.

use monolite_service::Tenant;
use std::collections::HashMap;

/// How many times what is free a tenant may hold.
const ALPHA: usize = 8;
/// Places that are left, where the limit is small, to tenants below their share.
const LEFT: usize = 4;

/// The part of the limit by which tenants below their share may pass it, so that a limit that has just shrunk does not
/// meet them.
const BEYOND: usize = 4;

/// Whose fault it is that there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The tenant has more than its share.
    Own,
    /// All together want too much.
    System,
}

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Shares {
    of: HashMap<Tenant, usize>,
    all: usize,
}

impl Shares {
    /// Begins a change of a tenant, if there is room.
    pub(super) fn enter(&mut self, tenant: Tenant, limit: usize) -> Result<(), Fault> {
        self.look(tenant, limit)?;
        *self.of.entry(tenant).or_default() += 1;
        self.all += 1;
        Ok(())
    }

    /// Whether there is room for a change of a tenant.
    pub(super) fn look(&self, tenant: Tenant, limit: usize) -> Result<(), Fault> {
        let held = self.held(tenant);
        let free = limit.saturating_sub(self.all);
        // One more share than there are tenants: a tenant that fills all alone is at fault too.
        let share = (limit / (self.of.len() + 1)).max(1);
        let may = if held < share {
            self.all < limit + limit / BEYOND
        } else {
            held < free.saturating_sub(LEFT.min(limit / 4)).saturating_mul(ALPHA)
        };
        match may {
            true => Ok(()),
            false if held > share => Err(Fault::Own),
            false => Err(Fault::System),
        }
    }

    /// Ends a change of a tenant.
    pub(super) fn leave(&mut self, tenant: Tenant) {
        let Some(held) = self.of.get_mut(&tenant) else { return };
        *held -= 1;
        self.all -= 1;
        if *held == 0 {
            self.of.remove(&tenant);
        }
    }

    /// Changes of a tenant under way.
    pub(super) fn held(&self, tenant: Tenant) -> usize {
        self.of.get(&tenant).copied().unwrap_or(0)
    }

    /// Changes under way.
    pub(super) fn all(&self) -> usize {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_tenant_gets_nearly_all_and_the_next_one_still_comes_in() {
        let mut shares = Shares::default();
        let (busy, quiet) = (Tenant(1), Tenant(2));
        let fault = (0..1000).find_map(|_| shares.enter(busy, 90).err());
        assert_eq!((fault, shares.held(busy)), (Some(Fault::Own), 77));
        assert_eq!(shares.enter(quiet, 90), Ok(()));
        assert_eq!(shares.enter(busy, 90), Err(Fault::Own));
    }

    #[test]
    fn many_quiet_tenants_at_the_limit_are_nobodys_own_fault() {
        let mut shares = Shares::default();
        for n in 0..25 {
            assert_eq!(shares.enter(Tenant(n), 20), Ok(()));
        }
        assert_eq!(shares.enter(Tenant(99), 20), Err(Fault::System));
        assert_eq!(shares.enter(Tenant(3), 20), Err(Fault::System));
    }

    proptest! {
        #[test]
        fn bounds_hold_and_what_left_is_forgotten(steps in prop::collection::vec((0u64..6, 0usize..40, any::<bool>()), 0..400)) {
            let mut shares = Shares::default();
            let mut model: HashMap<Tenant, usize> = HashMap::new();
            for (tenant, limit, comes) in steps {
                let tenant = Tenant(tenant);
                let all: usize = model.values().sum();
                if comes {
                    let entered = shares.enter(tenant, limit);
                    if entered.is_ok() {
                        prop_assert!(all < limit + limit / 4);
                        *model.entry(tenant).or_default() += 1;
                    }
                    let is_new = model.get(&tenant).copied().unwrap_or(0) == 0;
                    prop_assert!(entered.is_ok() || !is_new || all >= limit, "a quiet tenant was refused beside free room");
                } else if model.get(&tenant).copied().unwrap_or(0) > 0 {
                    shares.leave(tenant);
                    *model.get_mut(&tenant).unwrap() -= 1;
                }
                model.retain(|_, held| *held > 0);
                prop_assert_eq!(shares.all(), model.values().sum::<usize>());
                prop_assert_eq!(&shares.of, &model);
            }
        }
    }
}
