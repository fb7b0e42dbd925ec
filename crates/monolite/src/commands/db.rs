//! `db`: statements that read one service's file.
//!
//! **Invariants**
//! - Reads only: through the server's own reading connections where one runs, else by a read-only connection.

use crate::context::Context;
use crate::control::{Client, Request};
use crate::folder::{Owner, Reader, ServiceFile};
use crate::sql::{self, Bounds, Rows};
use crate::verb::{Result, Verb};
use anyhow::bail;
use std::io::{self, BufRead, IsTerminal};

/// Read a service's file with SQL; it cannot be changed this way
///
/// Without a statement, statements are read from stdin, each ended by `;` at the end of a line.
#[derive(Debug, clap::Args)]
pub(crate) struct Db {
    /// The service, such as Users
    service: String,
    /// One statement; SELECT sql FROM sqlite_schema shows the tables
    sql: Option<String>,
    /// Rows at most [default: the configuration's db.rows_max]
    #[arg(long, value_name = "N")]
    rows: Option<u64>,
}

enum Way {
    Running(Client, String),
    Stopped(Reader),
}

impl Verb for Db {
    const NAME: &'static str = "db";

    fn run(self, context: &Context) -> Result {
        let mut way = match context.client()? {
            Some(client) => Way::Running(client, self.service.clone()),
            None => Way::Stopped(Reader::open(&stopped(context, &self.service)?.path, Owner::Nobody)?),
        };
        let rows_max = self.rows.unwrap_or_else(|| context.config().number("db.rows_max"));
        let bounds = Bounds { rows_max, time_max: context.config().time("db.time_max") };
        match &self.sql {
            Some(sql) => one(context, &mut way, sql, bounds),
            None => all(context, &mut way, bounds),
        }
    }
}

fn stopped(context: &Context, service: &str) -> Result<ServiceFile> {
    let files = super::files_of(context.data())?;
    match files.iter().find(|(file, _)| file.service == service) {
        Some((file, _)) => Ok(file.clone()),
        None => bail!(sql::unknown(service, files.iter().map(|(file, _)| file.service.as_str()))),
    }
}

/// Statements from stdin; a terminal is asked for the next after an error, a file ends there.
fn all(context: &Context, way: &mut Way, bounds: Bounds) -> Result {
    let stdin = io::stdin().lock();
    let asked = stdin.is_terminal();
    if asked {
        context.note("statements end with ; at the end of a line; Ctrl-D ends");
    }
    let mut sql = String::new();
    for line in stdin.lines() {
        sql.push_str(&line?);
        sql.push('\n');
        if sql.trim_end().ends_with(';') {
            match one(context, way, &std::mem::take(&mut sql), bounds) {
                Err(e) if asked => context.note(format!("{e:#}")),
                other => other?,
            }
        }
    }
    if sql.trim().is_empty() { Ok(()) } else { one(context, way, &sql, bounds) }
}

fn one(context: &Context, way: &mut Way, sql: &str, bounds: Bounds) -> Result {
    let rows: Rows = match way {
        Way::Stopped(reader) => reader.query(sql, bounds)?,
        Way::Running(client, service) => {
            let request = Request::Query { service: service.clone(), sql: sql.to_owned(), bounds };
            client.ask(&request, &mut |_| {})?
        }
    };
    let out = context.output();
    if out.is_json() {
        for row in &rows.rows {
            let members: serde_json::Map<_, _> = rows.columns.iter().cloned().zip(row.iter().cloned()).collect();
            out.json(&members)?;
        }
    } else if !rows.columns.is_empty() {
        let head: Vec<&str> = rows.columns.iter().map(String::as_str).collect();
        out.table(&head, rows.rows.iter().map(|row| row.iter().map(sql::cell).collect::<Vec<_>>()))?;
    }
    if rows.cut {
        context.note(format!("only the first {} rows; --rows N shows more", rows.rows.len()));
    }
    Ok(())
}
