//! Who pays for a group: each member for its run, and for its part of what the commit took beyond that of a small group.

use super::group::Member;
use super::queue::Bill;
use super::writer::Writer;

/// A group of no more pages is a small one: its commit takes what any commit takes.
const SMALL_GROUP_FRAMES: u64 = 32;
/// Most of a write's run that is charged for the commit beside the run.
const COMMIT_TIMES_MAX: u64 = 3;

impl Writer {
    /// Notes what a member cost: its run, `commit_of_1024` of commit for each 1,024 of it, and the runs that were for
    /// nothing by its fault. What those come to is no guide to its kind.
    pub(super) fn bill(&mut self, member: &Member, commit_of_1024: u64) {
        let order = member.job.order();
        let charge_ns = member.run_ns + member.run_ns * commit_of_1024 / 1024;
        self.costs.learn(order.kind, order.ticket.tenant, self.looked, member.run_ns, charge_ns);
        let charge_ns = charge_ns + member.lost_ns;
        self.bills.push(Bill { tenant: order.ticket.tenant, cost: member.cost, charge_ns, is_husk: false });
    }

    /// Notes what a group cost. What its commit took beyond that of a small group is shared by the time that the members
    /// ran, a few times that at most: a hiccup of the disk is nobody's.
    pub(super) fn bill_group(&mut self, members: &[Member], committed: bool) {
        let mut share = 0;
        if committed {
            let ran: u64 = members.iter().map(|m| m.run_ns).sum();
            let before = if self.small_commit_ns == 0 { self.commit_ns } else { self.small_commit_ns };
            if self.commit_frames <= SMALL_GROUP_FRAMES {
                self.small_commit_ns = (before * 15 + self.commit_ns) / 16;
            }
            share = (self.commit_ns.saturating_sub(before) * 1024 / ran.max(1)).min(COMMIT_TIMES_MAX * 1024);
        }
        members.iter().for_each(|member| self.bill(member, share));
    }
}
