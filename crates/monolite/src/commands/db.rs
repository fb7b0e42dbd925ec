//! `db`: statements that read one service's file, or all at one moment.
//!
//! **Invariants**
//! - Reads only: through the server's own reading connections where one runs, else by a read-only connection.

use crate::context::Context;
use crate::control::{Client, Request};
use crate::explain;
use crate::folder::{Owner, Reader, ServiceFile};
use crate::sql::{self, Bounds, Rows};
use crate::verb::{Result, Usage, Verb};
use anyhow::bail;
use std::io::{self, BufRead, IsTerminal};

/// Read a service's file with SQL, or all with --all; they cannot be changed this way
///
/// Without a statement, statements are read from stdin, each ended by `;` at the end of a line.
#[derive(Debug, clap::Args)]
pub(crate) struct Db {
    /// The service, such as Users; not with --all
    #[arg(required_unless_present = "all")]
    service: Option<String>,
    /// One statement; SELECT sql FROM sqlite_schema shows the tables
    sql: Option<String>,
    /// Read all services' files, each statement at one moment of all; tables are named Users.users
    #[arg(long)]
    all: bool,
    /// Rows at most [default: the configuration's db.rows_max]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rows: Option<u64>,
}

/// The service, or all.
type Of = Option<String>;

enum Way {
    Running(Client, Of),
    Stopped(Reader),
}

impl Verb for Db {
    const NAME: &'static str = "db";

    fn run(self, context: &Context) -> Result {
        let (of, sql) = match (self.all, self.service, self.sql) {
            (false, of, sql) => (of, sql),
            (true, sql, None) => (None, sql),
            (true, Some(service), Some(_)) => {
                return Err(Usage(format!("--all reads all services: leave {service} out")).into());
            }
            (true, None, sql) => (None, sql),
        };
        let mut way = match (context.client()?, &of) {
            (Some(client), _) => Way::Running(client, of),
            (None, Some(service)) => Way::Stopped(Reader::open(&stopped(context, service)?.path, Owner::Nobody)?),
            (None, None) => Way::Stopped(Reader::open_all(&super::files_of(context.data())?)?),
        };
        let rows_max = self.rows.unwrap_or_else(|| context.config().number("db.rows_max"));
        let bounds = Bounds { rows_max, time_max: context.config().time("db.time_max") };
        match &sql {
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
                Err(e) if asked => context.note(explain::told(&e)),
                other => other?,
            }
        }
    }
    if sql.trim().is_empty() { Ok(()) } else { one(context, way, &sql, bounds) }
}

fn one(context: &Context, way: &mut Way, sql: &str, bounds: Bounds) -> Result {
    if sql.chars().all(|c| c == ';' || c.is_whitespace()) {
        return Err(Usage("there is no statement; SELECT sql FROM sqlite_schema shows the tables".to_owned()).into());
    }
    let rows: Rows = match way {
        Way::Stopped(reader) => reader.query(sql, bounds)?,
        Way::Running(client, of) => {
            let request = match of {
                Some(service) => Request::Query { service: service.clone(), sql: sql.to_owned(), bounds },
                None => Request::QueryAll { sql: sql.to_owned(), bounds },
            };
            client.ask(&request, &mut |_| {})?
        }
    };
    let out = context.output();
    if out.is_json() {
        let names = sql::names(&rows.columns);
        rows.rows.iter().try_for_each(|row| out.json(&sql::Row(&names, row)))?;
    } else if !rows.columns.is_empty() {
        let head: Vec<&str> = rows.columns.iter().map(String::as_str).collect();
        out.table(&head, rows.rows.iter().map(|row| row.iter().map(sql::cell).collect::<Vec<_>>()))?;
    }
    if !rows.at.is_empty() {
        let at: Vec<String> = rows.at.iter().map(|(service, sequence)| format!("{service}={sequence}")).collect();
        context.note(format!("as of {}", at.join(", ")));
    }
    if rows.cut {
        context.note(format!("only the first {} rows; --rows N shows more", rows.rows.len()));
    }
    Ok(())
}
