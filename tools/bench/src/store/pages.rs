//! A page that needs ten queries, each depending on the one before: one record, a list of eight, and each of the eight.
//!
//! This is the pattern that one avoids with a database server (N+1 queries) and need not avoid when a query is a call.

use super::Suite;
use crate::measure::{Callers, alone, in_turns};
use crate::peers::postgres::Session;
use crate::report::{Row, Unit};
use crate::table;
use monolite_store::{Result, Store};
use std::sync::Arc;

/// The rows of this file.
pub(crate) const NAMES: &[&str] = &[PAGE, FRAME];
const PAGE: &str = "page_of_ten_queries_vs_postgres";
pub(crate) const FRAME: &str = "queries_in_one_33ms_frame";

/// Queries of one page.
const QUERIES: f64 = 10.0;
/// One frame at thirty frames a second, in microseconds.
const FRAME_US: f64 = 33_000.0;

/// Measures the page and says it in both ways.
pub(crate) async fn run(suite: &mut Suite) -> anyhow::Result<()> {
    let (plan, rows) = (suite.plan, suite.plan.rows);
    let store = suite.store.clone();
    let ours = async |time| {
        let each = |_| {
            let store = store.clone();
            move |random| {
                let store = store.clone();
                async move { Ok(page(store, table::key(random, rows - 8)).await.map(std::hint::black_box).map(drop)?) }
            }
        };
        Callers::timed(1).run(time, each).await
    };
    let postgres = match &suite.postgres {
        Ok(postgres) => postgres,
        Err(why) => {
            let (why, side) = (why.clone(), alone(&plan, ours).await?);
            suite.missing(Row::of(PAGE, &side, Unit::Microseconds), &why);
            let frame = FRAME_US / side.us_each() * QUERIES;
            suite.missing(Row::alone(FRAME, frame, "queries"), &why);
            return Ok(());
        }
    };
    let sessions = postgres.sessions(1).await?;
    let peer = async |time| {
        super::on_sessions(&sessions, Callers::timed(1), time, move |session, random| {
            page_postgres(session, table::key(random, rows - 8))
        })
        .await
    };
    let pair = in_turns(&plan, ours, peer).await?;
    let name = postgres.name();
    suite.report.add(Row::compare(PAGE, &pair, Unit::Microseconds, name.clone()));
    let frame = |us: f64| FRAME_US / us * QUERIES;
    let row = Row::alone(FRAME, frame(pair.ours.us_each()), "queries");
    suite.report.add(row.against(frame(pair.peer.us_each()), Unit::PerSecond, name));
    Ok(())
}

async fn page(store: Store, key: i64) -> Result<i64> {
    let first: i64 = store.read(move |s| s.query_row(table::READ, [key], table::take)).await?;
    let list: Vec<i64> = store
        .read(move |s| {
            let mut statement = s.prepare(table::LIST)?;
            let ids = statement.query_map([key], |row| row.get(0))?;
            let ids: Vec<i64> = ids.collect::<Result<_, _>>()?;
            Result::<_, monolite_store::Error>::Ok(ids)
        })
        .await?;
    let mut sum = first;
    for id in list {
        sum += store.read(move |s| s.query_row(table::READ, [id], table::take)).await?;
    }
    Ok(sum)
}

async fn page_postgres(session: Arc<Session>, key: i64) -> anyhow::Result<()> {
    let mut sum = session.clone().read(key).await?;
    for row in session.client.query(&session.list, &[&key]).await? {
        sum += session.clone().read(row.get(0)).await?;
    }
    std::hint::black_box(sum);
    Ok(())
}
