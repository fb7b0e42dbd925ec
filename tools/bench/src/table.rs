//! The table that every side of the suite `store` has, and the statements that run on it.

use anyhow::Context;
use monolite_store::rusqlite::{Connection, Row};
use monolite_store::{Config, Migration, Migrations, Store};
use std::path::Path;

/// SQLite's table: 1,000,000 rows of about 100 bytes.
pub(crate) const CREATE: &str =
    "CREATE TABLE reading(id INTEGER PRIMARY KEY, k INTEGER NOT NULL, v TEXT NOT NULL) STRICT;";
/// Where the large document goes.
const LARGE: &str = "CREATE TABLE large(id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;";
/// The search index.
const WORDS: &str = "CREATE VIRTUAL TABLE words USING fts5(text);";
/// PostgreSQL's.
pub(crate) const CREATE_POSTGRES: &str =
    "CREATE TABLE reading(id BIGINT PRIMARY KEY, k BIGINT NOT NULL, v TEXT NOT NULL)";
/// Fills rows ?1 to ?2.
pub(crate) const FILL: &str = "WITH RECURSIVE s(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM s WHERE i < ?2)
    INSERT INTO reading SELECT i, i, hex(randomblob(40)) FROM s";
/// Fills PostgreSQL's with as many bytes.
pub(crate) const FILL_POSTGRES: &str = "INSERT INTO reading
    SELECT i, i, md5(i::text) || md5((i + 1)::text) || substr(md5((i + 2)::text), 1, 16) FROM generate_series(1, $1::bigint) i";
/// The point read.
pub(crate) const READ: &str = "SELECT id, k, v FROM reading WHERE id = ?1";
/// PostgreSQL's point read.
pub(crate) const READ_POSTGRES: &str = "SELECT id, k, v FROM reading WHERE id = $1";
/// What all rows come to.
pub(crate) const SUMS: &str = "SELECT count(*), sum(id), sum(k) FROM reading";
/// The one-row update.
pub(crate) const UPDATE: &str = "UPDATE reading SET k = k + 1 WHERE id = ?1";
/// PostgreSQL's.
pub(crate) const UPDATE_POSTGRES: &str = "UPDATE reading SET k = k + 1 WHERE id = $1";
/// The list of a page.
pub(crate) const LIST: &str = "SELECT id, k FROM reading WHERE id >= ?1 ORDER BY id LIMIT 8";
/// PostgreSQL's.
pub(crate) const LIST_POSTGRES: &str = "SELECT id, k FROM reading WHERE id >= $1 ORDER BY id LIMIT 8";

/// Rows filled in one write.
const BATCH: u64 = 10_000;

/// What a read takes out of a row on every side: both numbers, and the text copied.
pub(crate) fn take(row: &Row<'_>) -> monolite_store::rusqlite::Result<i64> {
    let text: String = row.get(2)?;
    Ok(row.get::<_, i64>(0)? + row.get::<_, i64>(1)? + text.len() as i64)
}

/// A key of the table from a random number.
pub(crate) fn key(random: u64, rows: u64) -> i64 {
    (random % rows) as i64 + 1
}

/// Our store with the table filled.
pub(crate) async fn store(path: &Path, rows: u64) -> anyhow::Result<Store> {
    store_with(path, rows, Config::default()).await
}

/// The same with a configuration of its own.
pub(crate) async fn store_with(path: &Path, rows: u64, config: Config) -> anyhow::Result<Store> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let steps = [("reading", CREATE), ("large", LARGE), ("words", WORDS)];
    let steps: Vec<_> = steps.into_iter().map(|(name, sql)| Migration::Quick { name, sql }).collect();
    let store = Store::open(path, config, Migrations::new(steps)).context("opening the store")?;
    let mut from = 1;
    while from <= rows {
        let to = (from + BATCH - 1).min(rows);
        store.write(move |tx| tx.execute(FILL, [from, to])).await.context("filling the store")?;
        from = to + 1;
    }
    Ok(store)
}

/// A peer's SQLite file with the table filled; `connection` has its settings made already.
pub(crate) fn fill(connection: &Connection, rows: u64) -> anyhow::Result<()> {
    connection.execute_batch(CREATE)?;
    connection.execute(FILL, [1, rows])?;
    Ok(())
}
