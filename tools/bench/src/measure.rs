//! The harness: closed loops of callers, taken in turns by ours and the peer.
//!
//! A caller is a task on the shared runtime that asks, waits for the answer, and asks again. What is
//! timed is the operation as the caller sees it. Where an operation takes a microsecond, only each
//! sixteenth is timed, so that the clock's own 30 ns do not blur the comparison.
//!
//! **Invariants**
//! - An operation that fails ends the measurement: no row is built on errors.
//! - Keys are random and differ from round to round, on both sides alike.

use crate::arguments::Plan;
use crate::random::Random;
use anyhow::Context;
use hdrhistogram::Histogram;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static SEED: AtomicU64 = AtomicU64::new(1);

/// What one turn measured.
pub(crate) struct Run {
    pub(crate) operations: u64,
    pub(crate) elapsed: Duration,
    pub(crate) latency: Latency,
}

impl Run {
    /// Operations a second.
    pub(crate) fn rate(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }
}

/// How a closed loop is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Callers {
    /// How many ask at the same time.
    pub(crate) count: usize,
    /// One operation in so many is timed.
    pub(crate) timed_one_in: u64,
}

impl Callers {
    /// Callers whose every operation is timed.
    pub(crate) fn timed(count: usize) -> Self {
        Callers { count, timed_one_in: 1 }
    }

    /// Callers of operations as short as a microsecond.
    pub(crate) fn sampled(count: usize) -> Self {
        Callers { count, timed_one_in: 16 }
    }

    /// Runs the loop for a time. `make` gives each caller its operation, which is handed a random number each time.
    pub(crate) async fn run<O, F>(self, time: Duration, mut make: impl FnMut(usize) -> O) -> anyhow::Result<Run>
    where
        O: FnMut(u64) -> F + Send + 'static,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let begin = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for caller in 0..self.count {
            tasks.spawn(ask(make(caller), begin + time, self.timed_one_in));
        }
        let mut run = Run { operations: 0, elapsed: time, latency: Latency::default() };
        while let Some(done) = tasks.join_next().await {
            let (operations, latency) = done.context("a caller panicked")??;
            run.operations += operations;
            run.latency.add(&latency);
        }
        run.elapsed = begin.elapsed();
        Ok(run)
    }
}

async fn ask<O, F>(mut operation: O, end: Instant, timed_one_in: u64) -> anyhow::Result<(u64, Latency)>
where
    O: FnMut(u64) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    let mut random = Random::new(SEED.fetch_add(1, Ordering::Relaxed));
    let (mut count, mut latency) = (0, Latency::default());
    loop {
        let begin = Instant::now();
        if begin >= end {
            return Ok((count, latency));
        }
        operation(random.next()).await?;
        latency.record(begin.elapsed());
        for _ in 1..timed_one_in {
            operation(random.next()).await?;
        }
        count += timed_one_in;
        // An operation that never has to wait would keep the other callers from the worker.
        tokio::task::coop::consume_budget().await;
    }
}

/// The longest time that is told apart; longer ones count as this one: ten minutes.
const LONGEST_NS: u64 = 600_000_000_000;

/// A histogram of times, to three digits, in nanoseconds.
#[derive(Clone)]
pub(crate) struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Latency(Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds and three digits are allowed"))
    }
}

impl Latency {
    /// Counts one time.
    pub(crate) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts one time that was seen so often.
    pub(crate) fn record_many(&mut self, time: Duration, count: u64) {
        self.0.saturating_record_n(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), count);
    }

    /// The times seen, in nanoseconds, each with its count.
    pub(crate) fn counts(&self) -> Vec<(u64, u64)> {
        self.0.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect()
    }

    /// Counts all of another's.
    pub(crate) fn add(&mut self, other: &Latency) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// The time that this share of all stay under, in microseconds.
    pub(crate) fn us(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1e3
    }

    /// The greatest, in microseconds.
    pub(crate) fn us_max(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    /// How many were counted.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }
}

/// The turns of one side.
#[derive(Clone, Default)]
pub(crate) struct Side {
    rates: Vec<f64>,
    pub(crate) latency: Latency,
}

impl Side {
    /// Takes one turn in.
    pub(crate) fn add(&mut self, run: &Run) {
        self.rates.push(run.rate());
        self.latency.add(&run.latency);
    }

    /// Operations a second: the median of the turns.
    pub(crate) fn rate(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        match rates.len() {
            0 => 0.0,
            n if n % 2 == 1 => rates[n / 2],
            n => (rates[n / 2 - 1] + rates[n / 2]) / 2.0,
        }
    }

    /// Microseconds an operation of one caller: the median of the turns' means.
    pub(crate) fn us_each(&self) -> f64 {
        1e6 / self.rate()
    }
}

/// Ours and a peer, taken in turns.
pub(crate) struct Pair {
    pub(crate) ours: Side,
    pub(crate) peer: Side,
}

impl Pair {
    /// How many times as many operations ours did in each pair of neighbouring rounds.
    pub(crate) fn ratios(&self) -> Vec<f64> {
        self.ours.rates.iter().zip(&self.peer.rates).map(|(ours, peer)| ours / peer).collect()
    }
}

/// The median of some numbers, and between which two the half of them lies that is nearest to it.
pub(crate) fn spread(mut numbers: Vec<f64>) -> (f64, f64, f64) {
    numbers.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let place = part * numbers.len().saturating_sub(1) as f64;
        let (low, high) = (numbers.get(place.floor() as usize), numbers.get(place.ceil() as usize));
        low.zip(high).map_or(0.0, |(low, high)| low + (high - low) * place.fract())
    };
    (at(0.5), at(0.25), at(0.75))
}

/// Runs ours and the peer in turns: first one of each that does not count, then the rounds.
pub(crate) async fn in_turns(
    plan: &Plan,
    mut ours: impl AsyncFnMut(Duration) -> anyhow::Result<Run>,
    mut peer: impl AsyncFnMut(Duration) -> anyhow::Result<Run>,
) -> anyhow::Result<Pair> {
    ours(plan.warm).await.context("ours, warming up")?;
    peer(plan.warm).await.context("the peer, warming up")?;
    let mut pair = Pair { ours: Side::default(), peer: Side::default() };
    for round in 0..plan.rounds {
        // Whoever goes second finds the other's dust: take turns at that, too.
        if round % 2 == 0 {
            pair.ours.add(&ours(plan.round).await.context("ours")?);
            pair.peer.add(&peer(plan.round).await.context("the peer")?);
        } else {
            pair.peer.add(&peer(plan.round).await.context("the peer")?);
            pair.ours.add(&ours(plan.round).await.context("ours")?);
        }
    }
    Ok(pair)
}

/// Runs one side alone.
pub(crate) async fn alone(
    plan: &Plan,
    mut ours: impl AsyncFnMut(Duration) -> anyhow::Result<Run>,
) -> anyhow::Result<Side> {
    ours(plan.warm).await?;
    let mut side = Side::default();
    for _ in 0..plan.rounds {
        side.add(&ours(plan.round).await?);
    }
    Ok(side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_not_moved_by_one_bad_round() {
        let side = Side { rates: vec![100.0, 101.0, 3.0, 99.0, 102.0], latency: Latency::default() };
        assert_eq!(side.rate(), 100.0);
    }

    #[test]
    fn half_of_the_numbers_lie_within_their_spread() {
        assert_eq!(spread(vec![5.0, 1.0, 4.0, 2.0, 3.0]), (3.0, 2.0, 4.0));
        assert_eq!(spread(vec![2.0, 1.0]), (1.5, 1.25, 1.75));
        assert_eq!(spread(Vec::new()), (0.0, 0.0, 0.0));
    }

    #[tokio::test]
    async fn a_failing_operation_ends_the_measurement() {
        let mut left = 10;
        let failed = Callers::timed(1)
            .run(Duration::from_secs(600), |_| {
                move |_| {
                    left -= 1;
                    std::future::ready(if left == 0 { Err(anyhow::anyhow!("no more")) } else { Ok(()) })
                }
            })
            .await;
        assert_eq!(failed.err().map(|e| e.to_string()), Some("no more".to_string()));
    }

    #[tokio::test]
    async fn every_operation_of_a_turn_is_counted_and_the_asked_share_timed() {
        let asked = std::sync::Arc::new(AtomicU64::new(0));
        let run = Callers::sampled(3)
            .run(Duration::from_millis(20), |_| {
                let asked = asked.clone();
                move |_| {
                    asked.fetch_add(1, Ordering::Relaxed);
                    std::future::ready(Ok(()))
                }
            })
            .await
            .expect("no operation fails");
        assert_eq!(run.operations, asked.load(Ordering::Relaxed));
        assert_eq!(run.operations, run.latency.count() * 16);
    }
}
