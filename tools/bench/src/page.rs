//! The rows as Markdown: a report of its own, and the measured parts of a page of the documentation.
//!
//! A page holds a pair of marks for each suite (`<!-- measured: peers -->` and `<!-- end of peers -->`); what stands between them
//! is rewritten, the rest is left alone.
//!
//! **Invariants**
//! - The machine, whether it was busy, the command and the durability of both sides stand beside the numbers.

use crate::machine::Machine;
use crate::report::{Row, number};
use anyhow::Context;
use std::path::Path;

/// What is told.
pub(crate) struct Told<'a> {
    pub(crate) suite: &'a str,
    pub(crate) machine: &'a Machine,
    /// The command that was given.
    pub(crate) command: String,
    /// A quick look, whose numbers are not comparable.
    pub(crate) short: bool,
    /// What ran, with versions.
    pub(crate) versions: &'a [String],
    /// Tables: a heading, and whether a row belongs there.
    pub(crate) tables: &'a [Table],
    pub(crate) rows: &'a [Row],
    /// Files of plots, relative to the page.
    pub(crate) plots: Vec<String>,
}

/// A table of a page.
pub(crate) type Table = (&'static str, fn(&Row) -> bool);

/// One table of all rows.
pub(crate) const ALL: &[Table] = &[("", |_| true)];

impl Told<'_> {
    /// All of it.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("Machine: {}\n", self.machine);
        if self.short {
            text.push_str("\n**A quick look (`--short`)**: not to be compared with a full run.\n");
        }
        text.push_str(&format!("\n```sh\n{}\n```\n", self.command));
        if !self.versions.is_empty() {
            text.push_str(&format!("\nSide by side: {}.\n", self.versions.join("; ")));
        }
        for plot in &self.plots {
            text.push_str(&format!("\n![{}]({plot})\n", plot_name(plot)));
        }
        for (heading, belongs) in self.tables {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| belongs(row)).collect();
            if !rows.is_empty() {
                text.push_str(&table(heading, &rows));
            }
        }
        text
    }

    /// Rewrites what stands between the suite's marks on a page.
    pub(crate) fn rewrite(&self, page: &Path) -> anyhow::Result<()> {
        let old = std::fs::read_to_string(page).with_context(|| page.display().to_string())?;
        let new = between(&old, self.suite, &self.markdown()).with_context(|| page.display().to_string())?;
        std::fs::write(page, new)?;
        Ok(())
    }
}

fn plot_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path).trim_end_matches(".svg")
}

fn table(heading: &str, rows: &[&Row]) -> String {
    let mut text = String::from("\n");
    if !heading.is_empty() {
        text.push_str(&format!("### {heading}\n\n"));
    }
    text.push_str(
        "| row | ours | p50, p99 us | peer | p50, p99 us | unit | times better |\n|---|--:|--:|--:|--:|---|--:|\n",
    );
    let opt = |v: Option<f64>| v.map_or("-".into(), number);
    let pair = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => format!("{}, {}", number(a), number(b)),
        _ => "-".into(),
    };
    for row in rows {
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} | {} |\n",
            row.name,
            number(row.ours),
            pair(row.ours_p50_us, row.ours_p99_us),
            opt(row.peer),
            pair(row.peer_p50_us, row.peer_p99_us),
            row.unit,
            opt(row.ratio)
        ));
    }
    let mut durability: Vec<&str> = rows.iter().map(|row| row.durability).filter(|d| *d != "read").collect();
    durability.dedup();
    if !durability.is_empty() {
        text.push_str(&format!("\nDurability of the writes: {}.\n", durability.join("; ")));
    }
    let noted = rows.iter().filter(|row| !row.note.is_empty());
    let notes: String = noted.map(|row| format!("- `{}`: {}\n", row.name, row.note)).collect();
    if !notes.is_empty() {
        text.push_str(&format!("\n<details><summary>Remarks</summary>\n\n{notes}\n</details>\n"));
    }
    text
}

/// The text with this between the marks of a suite.
fn between(text: &str, suite: &str, put: &str) -> anyhow::Result<String> {
    let (begin, end) = (format!("<!-- measured: {suite} -->\n"), format!("<!-- end of {suite} -->"));
    let (before, rest) = text.split_once(&begin).with_context(|| format!("there is no line {}", begin.trim_end()))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("there is no {end}"))?;
    Ok(format!("{before}{begin}{put}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_of_the_suite_is_rewritten() {
        let page = "a\n<!-- measured: store -->\nold\n<!-- end of store -->\nb\n<!-- measured: http -->\nkept\n<!-- end of http -->\nc\n";
        let new = between(page, "store", "new\n").expect("it has marks");
        assert_eq!(new, page.replace("old", "new"));
        assert_eq!(between(&new, "store", "new\n").expect("it has marks"), new);
        assert!(between(page, "peers", "new").is_err());
    }

    #[test]
    fn a_table_shows_a_missing_peer_and_what_writes_promise() {
        let row = Row::alone("a", 12.5, "us").durable("fsync").note("PEER MISSING: not here");
        let text = table("Head", &[&row]);
        assert!(text.contains("### Head") && text.contains("| `a` | 12.50 | - | - | - | us | - |"), "{text}");
        assert!(text.contains("Durability of the writes: fsync.") && text.contains("PEER MISSING: not here"), "{text}");
    }
}
