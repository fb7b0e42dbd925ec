//! The same requests over HTTP to ours and to PocketBase: throughput in a closed loop, p99 in an open one.
//!
//! The p99 is taken at one fixed rate for both sides, [`SHARE`] of the throughput of the slower one, from when each
//! request was due.

use super::{Suite, Target};
use crate::drive::Mix;
use crate::measure::{Pair, Run, Side, alone, in_turns};
use crate::report::{Row, Unit};
use anyhow::Context;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// Connections of a row.
const CONNECTIONS: [usize; 3] = [1, 64, 512];
/// What is asked.
const KINDS: [(&str, Mix); 5] = [
    ("get", Mix { get: 1, list: 0, create: 0, update: 0 }),
    ("list", Mix { get: 0, list: 1, create: 0, update: 0 }),
    ("create", Mix { get: 0, list: 0, create: 1, update: 0 }),
    ("update", Mix { get: 0, list: 0, create: 0, update: 1 }),
    ("mixed", Mix { get: 90, list: 0, create: 5, update: 5 }),
];
/// The open loop's rate, as a share of the slower side's throughput.
const SHARE: f64 = 0.5;
const DURABILITY: &str =
    "ours: fsync before each reply (synchronous=FULL); PocketBase: no fsync at commit (WAL, synchronous=NORMAL)";
const OURS: &str = "fsync before each reply (synchronous=FULL)";

/// All rows: a label, and the name.
pub(super) fn all() -> impl Iterator<Item = (String, String)> {
    let each = |kind| CONNECTIONS.map(|n| (format!("{kind}, {n}"), name(kind, n)));
    KINDS.into_iter().flat_map(move |(kind, _)| each(kind))
}

/// The name of a row.
fn name(kind: &str, connections: usize) -> String {
    format!("http_{kind}_{connections}_vs_pocketbase")
}

/// What both sides took for it.
#[derive(Default)]
struct Cost {
    cpu: Duration,
    requests: u64,
    refused: u64,
}

impl Cost {
    fn note(&self) -> String {
        let refused = match self.refused {
            0 => String::new(),
            refused => format!(", told to come back {refused} times in {} requests", self.requests),
        };
        format!("{:.1} us of CPU a request{refused}", self.cpu.as_secs_f64() * 1e6 / self.requests.max(1) as f64)
    }
}

/// A load in turns.
struct Turns<'a> {
    mix: Mix,
    connections: usize,
    rate: Option<f64>,
    seed: &'a Cell<u64>,
}

impl Turns<'_> {
    async fn turn(&self, target: &Target, cost: &RefCell<Cost>, time: Duration) -> anyhow::Result<Run> {
        self.seed.set(self.seed.get() + 1);
        let (driven, cpu) = target.drive(self.mix, self.connections, time, self.rate, self.seed.get()).await?;
        let mut cost = cost.borrow_mut();
        cost.cpu += cpu;
        cost.requests += driven.requests;
        cost.refused += driven.refused;
        Ok(driven.run())
    }
}

/// Runs the rows that are asked for.
pub(super) async fn run(suite: &mut Suite<'_>, ours: &Target, peer: Result<&Target, String>) -> anyhow::Result<()> {
    let seed = Cell::new(0);
    for (kind, mix) in KINDS {
        for connections in CONNECTIONS {
            if suite.wants(&name(kind, connections)) {
                let turns = Turns { mix, connections, rate: None, seed: &seed };
                one(suite, &name(kind, connections), turns, ours, &peer).await.context(name(kind, connections))?;
            }
        }
    }
    Ok(())
}

async fn one(
    suite: &mut Suite<'_>,
    name: &str,
    mut turns: Turns<'_>,
    ours: &Target,
    peer: &Result<&Target, String>,
) -> anyhow::Result<()> {
    let writes = turns.mix.create + turns.mix.update > 0;
    let (ours_cost, peer_cost) = (RefCell::default(), RefCell::default());
    let Ok(peer) = peer else {
        let side = alone(&suite.plan, async |time| turns.turn(ours, &ours_cost, time).await).await?;
        let durability = if writes { suite.place.durability(OURS) } else { "read" };
        suite.missing(Row::of(name, &side, Unit::PerSecond).durable(durability), peer.as_ref().err());
        return Ok(());
    };
    let durability = if writes { suite.place.durability(DURABILITY) } else { "read" };
    let pair = both(suite, &turns, ours, peer, &ours_cost, &peer_cost).await?;
    let row = Row::compare(name, &pair, Unit::PerSecond, peer.name.clone()).durable(durability);
    let costs = format!("ours: {}; {}: {}", ours_cost.borrow().note(), peer.name, peer_cost.borrow().note());
    suite.report.add(row.note(costs));
    let rate = SHARE * pair.ours.rate().min(pair.peer.rate());
    turns.rate = Some(rate);
    let (ours_cost, peer_cost) = (RefCell::default(), RefCell::default());
    let open = both(suite, &turns, ours, peer, &ours_cost, &peer_cost).await?;
    let (ours_p99, peer_p99) = (open.ours.latency.us(99.0), open.peer.latency.us(99.0));
    let mut row =
        Row::alone(format!("{name}_p99"), ours_p99, "us").against(peer_p99, Unit::Microseconds, peer.name.clone());
    (row.ours_p50_us, row.ours_p99_us) = (Some(open.ours.latency.us(50.0)), Some(ours_p99));
    (row.peer_p50_us, row.peer_p99_us) = (Some(open.peer.latency.us(50.0)), Some(peer_p99));
    let note = format!(
        "open loop at {rate:.0} a second on both sides, from when each was due; p99.9 and longest, ms: ours {}, peer {}",
        tail(&open.ours),
        tail(&open.peer)
    );
    suite.report.add(row.durable(durability).note(note));
    Ok(())
}

async fn both(
    suite: &Suite<'_>,
    turns: &Turns<'_>,
    ours: &Target,
    peer: &Target,
    ours_cost: &RefCell<Cost>,
    peer_cost: &RefCell<Cost>,
) -> anyhow::Result<Pair> {
    let ours_turn = async |time| turns.turn(ours, ours_cost, time).await;
    in_turns(&suite.plan, ours_turn, async |time| turns.turn(peer, peer_cost, time).await).await
}

fn tail(side: &Side) -> String {
    format!("{:.1} and {:.1}", side.latency.us(99.9) / 1e3, side.latency.us_max() / 1e3)
}
