//! Two stores written at once against one: each file has a writer and an fsync of its own, and the fsyncs overlap.

use super::{Suite, update};
use crate::measure::{Run, in_turns};
use crate::report::{Row, Unit};
use crate::table;

/// The row of this file.
pub(crate) const NAME: &str = "two_stores_16_vs_one";

/// Callers of each store.
const CALLERS: usize = 16;
const FSYNC: &str = "both: fsync before each reply (synchronous=FULL), one for each group of each file";

/// Measures both at once, in turns with one alone.
pub(crate) async fn run(suite: &mut Suite) -> anyhow::Result<()> {
    let (plan, rows) = (suite.plan, suite.plan.rows);
    let second = table::store(&suite.place.join("second/reading.db"), rows).await?;
    let both = async |time| {
        let (one, other) =
            tokio::try_join!(update(&suite.store, rows, CALLERS, time), update(&second, rows, CALLERS, time))?;
        Ok(together(one, &other))
    };
    let pair = in_turns(&plan, both, async |time| update(&suite.store, rows, CALLERS, time).await).await?;
    second.close()?;
    let row = Row::compare(NAME, &pair, Unit::PerSecond, "one of the two stores alone, 16 callers");
    suite.report.add(row.durable(suite.place.durability(FSYNC)).note("ours: the sum of two stores, 16 callers each"));
    Ok(())
}

fn together(mut run: Run, other: &Run) -> Run {
    run.operations += other.operations;
    run.elapsed = run.elapsed.max(other.elapsed);
    run.latency.add(&other.latency);
    run
}
