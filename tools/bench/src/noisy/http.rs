//! Noise over HTTP: documents and searches of the quiet tenants; of the noisy one documents, files, large documents, and
//! searches for whatever begins so.

use super::{AROUND, NOISE, NOISES, Noise, QUIET, QUIET_RATE, Quiet, compare};
use crate::arguments::Measured;
use crate::crowd::{self, Group, Kind, PATIENCE, Seen};
use crate::measure::Latency;
use crate::overload::tenants;
use crate::report::Report;
use crate::server;
use std::net::SocketAddr;
use std::time::Duration;

/// Bytes of a giant file, and those of the noisy one at once.
const GIANT: usize = 64 << 20;
const GIANTS: usize = 2;
/// Bytes of a large document, and those of the noisy one at once.
const LARGE: usize = 256 << 10;
const LARGE_AT_ONCE: usize = 4;
/// Searches of the noisy one at once, and how long he fills what he searches in.
const SEARCHES: usize = 8;
const DOCUMENTS_MS: u64 = 3_000;
/// Each document has a word of its own that begins with `w` and its number: for the noisy one thousands of them.
const SEARCH: &str = "/api/v1/documents/search?q=w1&limit=100";
const QUIET_SEARCH: &str = "/api/v1/documents/search?q=w12&limit=5";

pub(super) async fn run(measured: &Measured, report: &mut Report) -> anyhow::Result<()> {
    let place = measured.place()?;
    let program = server::build()?;
    let data = place.join("data");
    let ours = server::serve(&program, &data, &place.join("server.log")).await?;
    let tokens = tenants(&program, &data, &ours, QUIET + 1).await?;
    let (quiet, noisy) = tokens.split_at(QUIET);
    let millis = if measured.is_short() { 4_000 } else { 20_000 };
    let fill = group("fill", noisy, 32, Kind::Create(2048), vec![(DOCUMENTS_MS, None)]);
    crowd::spawn(ours.address, &[fill]).await?;
    let pace = QUIET as f64 * QUIET_RATE;
    let calm = [
        group("writes", quiet, QUIET, Kind::Create(0), vec![(millis, Some(pace))]),
        group("reads", quiet, QUIET, Kind::Get(QUIET_SEARCH.to_owned()), vec![(millis, Some(pace))]),
    ];
    crowd::spawn(ours.address, &calm).await?;
    for noise in NOISES.into_iter().filter(|noise| noise.is_wanted(measured, "http")) {
        let alone = told(&crowd::spawn(ours.address, &calm).await?);
        let loud = loud(noise, noisy, millis + 2 * AROUND.as_millis() as u64);
        let (quiet, noisy) = beside(ours.address, &calm, &loud).await?;
        let did: Vec<String> =
            loud.iter().zip(&noisy).map(|(group, seen)| format!("{} {:?}", group.name, seen.statuses)).collect();
        let unsent: u64 = quiet.iter().map(|seen| seen.unsent).sum();
        let did = format!("{unsent} were unsent; the noisy one: {}", did.join(", "));
        compare(report, "http", noise, (&alone, &told(&quiet)), Duration::ZERO, &did);
    }
    ours.stop().await
}

/// The quiet ones and the noise, each asked by a process of its own.
async fn beside(address: SocketAddr, calm: &[Group], loud: &[Group]) -> anyhow::Result<(Vec<Seen>, Vec<Seen>)> {
    let quiet = async {
        tokio::time::sleep_until((std::time::Instant::now() + AROUND).into()).await;
        crowd::spawn(address, calm).await
    };
    tokio::try_join!(quiet, crowd::spawn_behind(address, loud))
}

/// What the writers and the readers among the quiet ones saw. Who had gone away before he was asked for waited that long.
fn told(seen: &[Seen]) -> Quiet {
    let refused = |seen: &Seen| seen.statuses.iter().filter(|(status, _)| **status >= 400).map(|(_, n)| n).sum::<u64>();
    let [writes, reads] = [0, 1].map(|n| {
        let Some(seen) = seen.get(n) else { return Latency::default() };
        let mut latency = seen.latency();
        latency.record_many(PATIENCE, seen.unsent);
        latency
    });
    Quiet { writes, reads, refused: seen.iter().map(refused).sum() }
}

fn loud(noise: Noise, noisy: &[String], millis: u64) -> Vec<Group> {
    let mut groups = Vec::new();
    if noise.tiny {
        groups.push(group("tiny", noisy, 64, Kind::Create(0), vec![(millis, Some(QUIET_RATE * NOISE))]));
    }
    if noise.giant {
        groups.push(group("giant", noisy, GIANTS, Kind::File(GIANT), vec![(millis, None)]));
    }
    if noise.large {
        groups.push(group("large", noisy, LARGE_AT_ONCE, Kind::Create(LARGE), vec![(millis, None)]));
    }
    if noise.slow {
        groups.push(group("slow", noisy, SEARCHES, Kind::Get(SEARCH.to_owned()), vec![(millis, None)]));
    }
    groups
}

fn group(name: &str, bearers: &[String], connections: usize, kind: Kind, phases: Vec<(u64, Option<f64>)>) -> Group {
    Group { name: name.to_owned(), bearers: bearers.to_vec(), connections, kind, phases }
}
