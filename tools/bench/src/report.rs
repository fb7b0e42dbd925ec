//! The rows of a run: a table for people, a JSON array for programs.
//!
//! **Invariants**
//! - `ratio` is how many times better ours is, whatever the unit; null without a peer.
//! - A peer that could not be started is said in the row, with null for its number.

use crate::measure::{Pair, Side};
use serde::Serialize;

/// One row.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) suite: &'static str,
    pub(crate) name: String,
    pub(crate) ours: f64,
    pub(crate) peer: Option<f64>,
    pub(crate) unit: &'static str,
    pub(crate) ratio: Option<f64>,
    pub(crate) durability: &'static str,
    /// What the peer is.
    pub(crate) against: String,
    /// Microseconds that half and 99% of our operations stay under.
    pub(crate) ours_p50_us: Option<f64>,
    pub(crate) ours_p99_us: Option<f64>,
    /// The same of the peer's.
    pub(crate) peer_p50_us: Option<f64>,
    pub(crate) peer_p99_us: Option<f64>,
    /// What one has to know to read the row.
    pub(crate) note: String,
}

/// What a row compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Microseconds an operation; less is better.
    Microseconds,
    /// Operations a second; more is better.
    PerSecond,
}

impl Row {
    /// A row of ours alone.
    pub(crate) fn alone(name: impl Into<String>, ours: f64, unit: &'static str) -> Row {
        Row { name: name.into(), ours, unit, durability: "read", ..Row::default() }
    }

    /// A row of a side of ours alone.
    pub(crate) fn of(name: impl Into<String>, side: &Side, unit: Unit) -> Row {
        let mut row = Row::alone(name, unit.of(side), unit.name());
        row.ours_p50_us = Some(side.latency.us(50.0));
        row.ours_p99_us = Some(side.latency.us(99.0));
        row
    }

    /// A row that compares.
    pub(crate) fn compare(name: impl Into<String>, pair: &Pair, unit: Unit, against: impl Into<String>) -> Row {
        let mut row = Row::of(name, &pair.ours, unit);
        row.peer_p50_us = Some(pair.peer.latency.us(50.0));
        row.peer_p99_us = Some(pair.peer.latency.us(99.0));
        row.against(unit.of(&pair.peer), unit, against)
    }

    /// The same row beside a peer's number.
    pub(crate) fn against(mut self, peer: f64, unit: Unit, against: impl Into<String>) -> Row {
        self.peer = Some(peer);
        self.ratio = Some(match unit {
            Unit::Microseconds => peer / self.ours,
            Unit::PerSecond => self.ours / peer,
        });
        self.against = against.into();
        self
    }

    /// The same row with a word about durability.
    pub(crate) fn durable(self, durability: &'static str) -> Row {
        Row { durability, ..self }
    }

    /// The same row with a remark.
    pub(crate) fn note(self, note: impl Into<String>) -> Row {
        Row { note: note.into(), ..self }
    }
}

impl Unit {
    fn of(self, side: &Side) -> f64 {
        match self {
            Unit::Microseconds => side.us_each(),
            Unit::PerSecond => side.rate(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Unit::Microseconds => "us",
            Unit::PerSecond => "1/s",
        }
    }
}

/// The rows of a run.
pub(crate) struct Report {
    suite: &'static str,
    rows: Vec<Row>,
}

impl Report {
    /// No rows yet.
    pub(crate) fn new(suite: &'static str) -> Self {
        Report { suite, rows: Vec::new() }
    }

    /// Adds a row and tells it on stderr at once.
    pub(crate) fn add(&mut self, mut row: Row) {
        row.suite = self.suite;
        let peer = row.peer.map_or(String::new(), |p| format!(" | {} {}", number(p), row.against));
        let ratio = row.ratio.map_or(String::new(), |r| format!(" | {r:.2}x"));
        eprintln!("{:<40} {} {}{peer}{ratio} {}", row.name, number(row.ours), row.unit, row.note);
        self.rows.push(row);
    }

    /// Which suite.
    pub(crate) fn suite(&self) -> &'static str {
        self.suite
    }

    /// The rows.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Drops the rows that were not asked for.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.rows.retain(|r| wanted(&r.name));
    }

    /// The rows as a JSON array.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.rows)
    }

    /// The rows as a table, and below it the remarks.
    pub(crate) fn table(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
        table.set_header([
            "row",
            "ours",
            "p50 us",
            "p99 us",
            "peer",
            "p50 us",
            "p99 us",
            "unit",
            "ratio",
            "durability",
        ]);
        let opt = |v: Option<f64>| v.map_or(String::from("-"), number);
        for r in &self.rows {
            let ratio = r.ratio.map_or("-".into(), |x| format!("{x:.2}x"));
            let cells = [
                r.name.clone(),
                number(r.ours),
                opt(r.ours_p50_us),
                opt(r.ours_p99_us),
                opt(r.peer),
                opt(r.peer_p50_us),
                opt(r.peer_p99_us),
                r.unit.to_string(),
                ratio,
                r.durability.to_string(),
            ];
            table.add_row(cells);
        }
        let mut text = format!("suite {}; ratio: how many times better ours is\n{table}\n", self.suite);
        for r in self.rows.iter().filter(|r| !r.note.is_empty() || !r.against.is_empty()) {
            let against = if r.against.is_empty() { String::new() } else { format!("against {}. ", r.against) };
            text.push_str(&format!("{}: {against}{}\n", r.name, r.note));
        }
        text
    }
}

/// A number with about four digits.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_means_ahead_for_times_and_for_rates() {
        let faster = Row::alone("a", 2.0, "us").against(20.0, Unit::Microseconds, "peer");
        let more = Row::alone("b", 20.0, "1/s").against(2.0, Unit::PerSecond, "peer");
        assert_eq!((faster.ratio, more.ratio), (Some(10.0), Some(10.0)));
    }

    #[test]
    fn a_missing_peer_is_null_and_said() {
        let mut report = Report::new("store");
        report.add(Row::alone("a", 2.0, "us").note("peer missing: no PostgreSQL here"));
        let rows: serde_json::Value = serde_json::from_str(&report.json().expect("serialises")).expect("parses");
        assert_eq!(rows[0]["ratio"], serde_json::Value::Null);
        assert_eq!(rows[0]["peer"], serde_json::Value::Null);
        assert!(report.table().contains("peer missing"));
    }
}
