//! `ack = "archived"`: a reply that waits until the commit is in the archive, in a folder and in a bucket.

use super::kept::{self, Kept, NAME};
use super::{ARCHIVED, IN_BUCKET};
use crate::arguments::{Measured, Plan};
use crate::measure::{Callers, Run, Side, alone};
use crate::place::Place;
use crate::report::{Report, Row, Unit};
use crate::table;
use anyhow::Context;
use monolite_archive::place::{Bucket, BucketConfig, Folder};
use monolite_peers::Weed;
use monolite_store::Ticket;
use std::sync::Arc;
use std::time::Duration;

const CALLERS: [usize; 2] = [1, 64];

fn name(callers: usize, to: &str) -> String {
    format!("ack_archived_{callers}_{to}")
}

pub(super) async fn run(measured: &Measured, place: &Place, report: &mut Report) -> anyhow::Result<()> {
    let wants = |to: &str| CALLERS.iter().any(|callers| measured.wants(&[&name(*callers, to)]));
    if wants("folder") {
        let folder = place.join("acks-folder");
        let archive = Arc::new(Folder::open(folder.join("archive"))?);
        measure(measured, place, report, archive, "folder").await?;
        std::fs::remove_dir_all(folder)?;
    }
    if wants("s3") {
        let scratch = place.join("weed");
        std::fs::create_dir(&scratch)?;
        match Weed::start(&scratch).context("SeaweedFS")? {
            Some(weed) => measure(measured, place, report, bucket(&weed)?, "s3").await?,
            None => eprintln!("LEFT OUT: ack_archived_*_s3: {}", Weed::MISSING),
        }
    }
    Ok(())
}

/// A bucket of its own.
fn bucket(weed: &Weed) -> anyhow::Result<Arc<dyn monolite_archive::Place>> {
    weed.make_bucket("archives").context("SeaweedFS")?;
    Ok(Arc::new(Bucket::open(BucketConfig {
        bucket: "archives".into(),
        prefix: "bench".into(),
        region: Some("us-east-1".into()),
        endpoint: Some(weed.endpoint.clone()),
        access_key: Some(Weed::KEY.into()),
        secret_key: Some(Weed::SECRET.into()),
        ..BucketConfig::default()
    })?))
}

async fn measure(
    measured: &Measured,
    place: &Place,
    report: &mut Report,
    archive: Arc<dyn monolite_archive::Place>,
    to: &str,
) -> anyhow::Result<()> {
    let whole = measured.plan();
    let rounds = if measured.is_short() { 1 } else { whole.rounds };
    let plan = Plan { rounds, rows: kept::ROWS / 10, ..whole };
    let kept = Kept::begin(&place.join(&format!("acks-{to}")), archive, plan.rows).await?;
    for callers in CALLERS {
        if measured.wants(&[&name(callers, to)]) {
            let before = kept.archive.status()[0].segments.0;
            let side: Side = alone(&plan, async |time| update(&kept, plan.rows, callers, time).await).await?;
            let status = kept.archive.status().remove(0);
            let durability = if to == "s3" { IN_BUCKET } else { place.durability(ARCHIVED) };
            let note = format!("{} segments more, {} errors", status.segments.0.saturating_sub(before), status.errors);
            report.add(Row::of(name(callers, to), &side, Unit::PerSecond).durable(durability).note(note));
        }
    }
    Ok(())
}

async fn update(kept: &Kept, rows: u64, callers: usize, time: Duration) -> anyhow::Result<Run> {
    let each = |_| {
        let (store, archive) = (kept.store.clone(), kept.archive.clone());
        move |random| {
            let (key, archive) = (table::key(random, rows), archive.clone());
            let update = move |tx: &monolite_store::Tx<'_>| tx.execute(table::UPDATE, [key]);
            let write = store.write_with(Ticket::default(), update);
            async move {
                let written = write.await.map_err(|e: monolite_store::Error| e)?;
                Ok(archive.archived(NAME, written.sequence)?.await?)
            }
        }
    };
    Callers::timed(callers).run(time, each).await
}
