//! Noise over HTTP: documents of the quiet tenants; of the noisy one documents, files, and searches for a common word.

use super::{NOISE, NOISES, Noise, QUIET, QUIET_RATE, compare, row};
use crate::arguments::Measured;
use crate::crowd::{self, Group, Kind, Seen};
use crate::overload::tenants;
use crate::report::Report;
use crate::server;
use std::net::SocketAddr;

/// Bytes of a giant file, and those of the noisy one at once.
const GIANT: usize = 64 << 20;
const GIANTS: usize = 2;
/// Searches of the noisy one at once, and documents to search in.
const SEARCHES: usize = 8;
const DOCUMENTS_MS: u64 = 3_000;

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
    let calm = group("quiet", quiet, QUIET, Kind::Create(0), vec![(millis, Some(pace))]);
    crowd::spawn(ours.address, std::slice::from_ref(&calm)).await?;
    let alone = crowd::spawn(ours.address, std::slice::from_ref(&calm)).await?;
    for noise in NOISES.into_iter().filter(|noise| measured.wants(&[&row("http", noise.name)])) {
        let seen = beside(ours.address, &calm, noise, noisy, millis).await?;
        let refused: u64 = seen[0].statuses.iter().filter(|(status, _)| **status >= 400).map(|(_, n)| n).sum();
        let did: Vec<String> = seen[1..].iter().map(|seen| format!("{:?}", seen.statuses)).collect();
        let note = format!(
            "of the quiet ones {refused} were refused and {} unsent; the noisy one: {}",
            seen[0].unsent,
            did.join(", ")
        );
        compare(report, "http", noise, &alone[0].latency(), &seen[0].latency(), note);
    }
    ours.stop().await
}

async fn beside(
    address: SocketAddr,
    calm: &Group,
    noise: Noise,
    noisy: &[String],
    millis: u64,
) -> anyhow::Result<Vec<Seen>> {
    let mut groups = vec![calm.clone()];
    if noise.tiny {
        groups.push(group("tiny", noisy, 64, Kind::Create(0), vec![(millis, Some(QUIET_RATE * NOISE))]));
    }
    if noise.giant {
        groups.push(group("giant", noisy, GIANTS, Kind::File(GIANT), vec![(millis, None)]));
    }
    if noise.slow {
        let search = Kind::Get("/api/v1/documents/search?q=word&limit=100".to_owned());
        groups.push(group("slow", noisy, SEARCHES, search, vec![(millis, None)]));
    }
    crowd::spawn(address, &groups).await
}

fn group(name: &str, bearers: &[String], connections: usize, kind: Kind, phases: Vec<(u64, Option<f64>)>) -> Group {
    Group { name: name.to_owned(), bearers: bearers.to_vec(), connections, kind, phases }
}
