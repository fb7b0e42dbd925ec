//! The suite `store`: one SQLite file through `monolite-store`, against PostgreSQL and the usual ways to use SQLite.

pub(crate) mod call;
mod pages;
mod reads;
mod slow;
mod soak;
mod two;
mod updates;

use crate::arguments::{Measured, Plan};
use crate::measure::{Callers, Run};
use crate::peers::postgres::{Postgres, Session};
use crate::peers::sqlite::Sqlite;
use crate::place::Place;
use crate::report::{Report, Row};
use crate::table;
use anyhow::Context;
use monolite_store::Store;
use std::sync::Arc;
use std::time::Duration;

/// Worker threads of the async runtime.
const WORKERS: usize = 2;

/// What the rows of the suite share.
pub(crate) struct Suite {
    pub(crate) plan: Plan,
    pub(crate) place: Place,
    pub(crate) store: Store,
    pub(crate) sqlite: Sqlite,
    /// Why PostgreSQL is missing, where it is.
    pub(crate) postgres: Result<Postgres, String>,
    pub(crate) report: Report,
}

/// Runs the suite.
pub(crate) fn run(measured: &Measured) -> anyhow::Result<Report> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut suite = Suite::new(measured).await?;
        if measured.wants(reads::NAMES) {
            reads::run(&mut suite, measured).await.context("point reads")?;
        }
        if measured.wants(&[call::NAME]) {
            call::run(&mut suite).await.context("calls")?;
        }
        if measured.wants(pages::NAMES) {
            pages::run(&mut suite).await.context("pages")?;
        }
        if measured.wants(updates::NAMES) {
            updates::run(&mut suite, measured).await.context("durable updates")?;
        }
        for callers in soak::CALLERS {
            if measured.wants(&[soak::name(callers)]) {
                soak::run(&mut suite, callers).await.context("the writer soak")?;
            }
        }
        if measured.wants(&[two::NAME]) {
            two::run(&mut suite).await.context("two stores")?;
        }
        if measured.wants(slow::NAMES) {
            slow::run(&mut suite).await.context("slow reads")?;
        }
        Ok(suite.report)
    })
}

/// The runtime of every measurement.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()
}

impl Suite {
    async fn new(measured: &Measured) -> anyhow::Result<Suite> {
        let (plan, place) = (measured.plan(), measured.place()?);
        eprintln!("filling {} rows on each side", plan.rows);
        let store = table::store(&place.join("store/reading.db"), plan.rows).await?;
        let sqlite = Sqlite::new(place.join("peer.db"), plan.rows).context("the peer's SQLite file")?;
        let needed = [reads::NAMES, pages::NAMES, updates::NAMES].concat();
        let needed = needed.iter().any(|n| with_postgres(n) && measured.wants(&[n]));
        let postgres = match needed {
            true => Postgres::start(&place, plan.rows).await.map_err(|e| format!("{e:#}")),
            false => Err("no row that was asked for needs it".to_string()),
        };
        if let (true, Err(why)) = (needed, &postgres) {
            eprintln!("PEER MISSING: {why}");
        }
        Ok(Suite { plan, place, store, sqlite, postgres, report: Report::new("store") })
    }

    /// Our point reads by so many callers.
    pub(crate) async fn read_ours(&self, callers: usize, time: Duration) -> anyhow::Result<Run> {
        let rows = self.plan.rows;
        let each = |_| {
            let store = self.store.clone();
            move |random| {
                let key = table::key(random, rows);
                let read = store.read(move |s| s.query_row(table::READ, [key], table::take));
                async move { done(std::hint::black_box(read.await)) }
            }
        };
        Callers::sampled(callers).run(time, each).await
    }

    /// Our durable one-row updates by so many callers.
    pub(crate) async fn update_ours(&self, callers: usize, time: Duration) -> anyhow::Result<Run> {
        update(&self.store, self.plan.rows, callers, time).await
    }

    /// Says that a row has no peer.
    pub(crate) fn missing(&mut self, row: Row, why: &str) {
        self.report.add(row.note(format!("PEER MISSING: {why}")));
    }
}

/// Durable one-row updates of a store by so many callers.
pub(crate) async fn update(store: &Store, rows: u64, callers: usize, time: Duration) -> anyhow::Result<Run> {
    let each = |_| {
        let store = store.clone();
        move |random| {
            let key = table::key(random, rows);
            let write = store.write(move |tx| tx.execute(table::UPDATE, [key]));
            async move { done(write.await) }
        }
    };
    Callers::timed(callers).run(time, each).await
}

/// Whether a row has PostgreSQL as its peer.
fn with_postgres(name: &str) -> bool {
    name.ends_with("postgres") || name == pages::FRAME
}

/// Operations of many callers on PostgreSQL's sessions.
pub(crate) async fn on_sessions<F>(
    sessions: &[Arc<Session>],
    callers: Callers,
    time: Duration,
    operation: impl Fn(Arc<Session>, u64) -> F + Copy + Send + 'static,
) -> anyhow::Result<Run>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let each = |caller: usize| {
        let session = sessions[caller % sessions.len()].clone();
        move |random| operation(session.clone(), random)
    };
    callers.run(time, each).await
}

/// Only whether it worked.
pub(crate) fn done<T>(result: monolite_store::Result<T>) -> anyhow::Result<()> {
    result.map(drop).map_err(anyhow::Error::from)
}
