//! A statement's query plan, asked for on a reading connection.
//!
//! **Invariants**
//! - A closing store waits for it as for a read; it takes `PLAN_TIME_MAX` at most.

use super::lengths::Length;
use super::slow::Active;
use crate::reply::far_from_now;
use crate::store::Shared;
use std::collections::HashMap;
use std::time::Duration;

/// Longest time for a query plan, and its lines that are kept.
const PLAN_TIME_MAX: Duration = Duration::from_secs(1);
const PLAN_LINES_MAX: usize = 64;

/// A statement's query plan, asked for on a reading connection; nothing where it cannot be had.
pub(crate) fn plan_of(shared: &Shared, sql: &str) -> Vec<String> {
    let slow = &shared.reads.slow;
    let _active = Active::enter(slow, Length::Long);
    if shared.is_closed() {
        return Vec::new();
    }
    let Ok(reader) = slow.reader() else { return Vec::new() };
    reader.connection.watch.arm_timed(far_from_now(PLAN_TIME_MAX), None);
    let plan = explain(reader.connection.sqlite(), sql).unwrap_or_default();
    reader.connection.watch.disarm();
    if !shared.is_closed() {
        slow.put_back(reader);
    }
    plan
}

fn explain(sqlite: &rusqlite::Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = sqlite.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let mut rows = statement.raw_query(); // parameters stay NULL
    let (mut plan, mut depths) = (Vec::new(), HashMap::from([(0_i64, 0_usize)]));
    while let Some(row) = rows.next()? {
        let (id, parent): (i64, i64) = (row.get(0)?, row.get(1)?);
        let depth = depths.get(&parent).copied().unwrap_or(0);
        depths.insert(id, depth + 1);
        plan.push(format!("{:1$}{2}", "", depth * 2, row.get::<_, String>(3)?));
        if plan.len() == PLAN_LINES_MAX {
            break;
        }
    }
    Ok(plan)
}
