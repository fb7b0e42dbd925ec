//! Statements typed by people, run read-only, their rows as JSON.
//!
//! **Invariants**
//! - A statement that writes is refused before its first step; the connection could not write either.
//! - Rows, bytes and time are bounded; what was cut says so.
//! - 16 bytes of BLOB are shown as an id, other BLOBs as `x'..'`.

use crate::verb::Usage;
use monolite_store::rusqlite::types::ValueRef;
use monolite_store::rusqlite::{self, Statement};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use std::time::Duration;

/// How much one statement may answer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Bounds {
    /// Rows at most.
    pub(crate) rows_max: u64,
    /// Time at most.
    pub(crate) time_max: Duration,
}

/// What is said to a statement that SQLite was told not to prepare.
const FORBIDDEN: &str = "this statement is not allowed: `db` only reads rows, without PRAGMA, ATTACH, BEGIN and tables of its own; \
                         SELECT sql FROM sqlite_schema shows the tables";
/// What is said to a statement that writes.
pub(crate) const WRITES: &str = "this statement writes or changes the connection; `db` only reads";
/// Bytes of values at most.
const BYTES_MAX: usize = 32 << 20;
/// Bytes of a BLOB that are shown.
const BLOB_SHOWN_MAX: usize = 64;

/// What a statement answered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rows {
    /// The columns' names.
    pub(crate) columns: Vec<String>,
    /// The rows, a value for each column.
    pub(crate) rows: Vec<Vec<Value>>,
    /// Whether there were more.
    pub(crate) cut: bool,
    /// Of a join, each service with its last commit at that moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) at: Vec<(String, u64)>,
}

/// Runs a statement; none where it would write.
pub(crate) fn rows(statement: &mut Statement<'_>, bounds: Bounds) -> rusqlite::Result<Option<Rows>> {
    if !statement.readonly() {
        return Ok(None);
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut answer = Rows { columns, rows: Vec::new(), cut: false, at: Vec::new() };
    let (count, mut bytes) = (answer.columns.len(), 0);
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        if answer.rows.len() as u64 >= bounds.rows_max || bytes > BYTES_MAX {
            answer.cut = true;
            break;
        }
        let mut values = Vec::with_capacity(count);
        for column in 0..count {
            let value = row.get_ref(column)?;
            bytes += 16 + value.as_bytes_or_null().ok().flatten().map_or(0, <[u8]>::len);
            values.push(json(value));
        }
        answer.rows.push(values);
    }
    Ok(Some(answer))
}

fn json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Blob(blob) => shown(blob).into(),
    }
}

fn shown(blob: &[u8]) -> String {
    use std::fmt::Write;
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    if blob.len() == 16 {
        let text = hex(blob);
        return [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-");
    }
    let more = if blob.len() > BLOB_SHOWN_MAX { format!(".. ({} bytes)", blob.len()) } else { String::new() };
    format!("x'{}'{more}", hex(&blob[..blob.len().min(BLOB_SHOWN_MAX)]))
}

/// The same error, in words for who typed the statement where SQLite has none.
pub(crate) fn told(error: anyhow::Error) -> anyhow::Error {
    let denied = |cause: &(dyn std::error::Error + 'static)| {
        let code = cause.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
        code == Some(rusqlite::ErrorCode::AuthorizationForStatementDenied)
    };
    if error.chain().any(denied) { Usage(FORBIDDEN.to_owned()).into() } else { error }
}

/// The names of columns, each once: the second `id` becomes `id:1`.
pub(crate) fn names(columns: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for column in columns {
        let next = (1..).map(|n| format!("{column}:{n}"));
        let free = std::iter::once(column.clone()).chain(next).find(|name| !names.contains(name));
        names.push(free.expect("numbers do not end"));
    }
    names
}

/// A row as a JSON object, its members in the order of the columns.
pub(crate) struct Row<'r>(pub(crate) &'r [String], pub(crate) &'r [Value]);

impl Serialize for Row<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().zip(self.1))
    }
}

/// What is said about a service that is not there.
pub(crate) fn unknown<'a>(service: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match crate::config::nearest(service, known.iter().copied()) {
        Some(near) => format!("there is no service {service}; did you mean {near}?"),
        None => format!("there is no service {service}; there are {}", known.join(", ")),
    }
}

/// A value as a cell of a table.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use monolite_store::rusqlite::Connection;

    fn run(sql: &str, rows_max: u64) -> Option<Rows> {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t(a, b); INSERT INTO t VALUES (1, x'00112233445566778899aabbccddeeff')")
            .unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        rows(&mut statement, Bounds { rows_max, time_max: Duration::from_secs(1) }).unwrap()
    }

    #[test]
    fn values_become_json_and_ids_their_text() {
        let answer = run("SELECT a, b, NULL AS n, 1.5 AS r, x'ff' AS x FROM t", 10).unwrap();
        assert_eq!(answer.columns, ["a", "b", "n", "r", "x"]);
        let row = serde_json::json!([1, "00112233-4455-6677-8899-aabbccddeeff", null, 1.5, "x'ff'"]);
        assert_eq!(Value::from(answer.rows[0].clone()), row);
        assert!(!answer.cut);
    }

    #[test]
    fn rows_are_bounded_and_what_writes_is_refused() {
        let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100) SELECT i FROM n";
        let answer = run(many, 7).unwrap();
        assert_eq!((answer.rows.len(), answer.cut), (7, true));
        assert_eq!(run(many, 100).map(|a| a.cut), Some(false));
        assert!(run("DELETE FROM t", 1).is_none());
        assert!(run("INSERT INTO t VALUES (1, 2) RETURNING a", 1).is_none());
    }
}
