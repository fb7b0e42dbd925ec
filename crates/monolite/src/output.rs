//! What a verb prints: tables for people, JSON for programs.
//!
//! **Invariants**
//! - Data goes to stdout, one JSON value a line; everything else to stderr.
//! - A closed pipe (`| head`) ends the printing in silence.
//! - Control characters of stored data never reach a terminal.

use comfy_table::{Cell, Table, presets};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// Prints to stdout.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Output { json }
    }

    /// Whether JSON was asked for.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints one value as a line of JSON.
    pub fn json(&self, value: &impl Serialize) -> crate::Result {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        write(&line)
    }

    /// Prints a line of text.
    pub fn line(&self, text: impl AsRef<str>) -> crate::Result {
        write(format!("{}\n", text.as_ref()).as_bytes())
    }

    /// Prints a table.
    pub fn table<R: AsRef<[String]>>(&self, head: &[&str], rows: impl IntoIterator<Item = R>) -> crate::Result {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(head);
        for row in rows {
            table.add_row(row.as_ref().iter().map(|text| Cell::new(printable(text))));
        }
        let text: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        write(format!("{}\n", text.join("\n")).as_bytes())
    }
}

/// Prints one line to stderr: what happens, warnings, how to go on.
pub fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// Whether stderr may be coloured: a terminal, and no `NO_COLOR`.
pub(crate) fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// A size for people.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn write(bytes: &[u8]) -> crate::Result {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // The reader has seen enough; so have we.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(3 << 30), "3.0 GiB");
    }

    #[test]
    fn stored_control_characters_are_replaced() {
        assert_eq!(printable("a\u{1b}[31mb\nc"), "a\u{fffd}[31mb\u{fffd}c");
    }
}
