//! The store's shape in the rigs: small limits, so that each of them is reached in a few milliseconds.

use monolite_store::{Config, Cursor, Error, Migration, Migrations, Progress, Stepwise, Tx};
use std::time::Duration;

/// Batches of the stepwise migration.
const BATCHES: i64 = 4;

const SCHEMA: Migration = Migration::Quick {
    name: "0001_schema.sql",
    sql: "CREATE TABLE log(n INTEGER PRIMARY KEY, op INTEGER NOT NULL, sequence INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
          CREATE TABLE chain(id INTEGER PRIMARY KEY CHECK(id = 1), n INTEGER NOT NULL, h INTEGER NOT NULL) STRICT;
          INSERT INTO chain VALUES(1, 0, 0);
          CREATE TABLE heap(k INTEGER PRIMARY KEY, op INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
          CREATE TABLE parent(id INTEGER PRIMARY KEY) STRICT;
          CREATE TABLE child(id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED) STRICT;
          CREATE TABLE trap(x INTEGER) STRICT;
          CREATE TRIGGER trapped BEFORE INSERT ON trap BEGIN SELECT RAISE(ROLLBACK, 'trapped'); END;
          CREATE TABLE batch(n INTEGER PRIMARY KEY) STRICT;",
};

const INDEX: Migration = Migration::Quick { name: "0002_index.sql", sql: "CREATE INDEX log_op ON log(op);" };

static BATCHED: Stepwise = Stepwise { name: "0003_batches", step: batch };

fn batch(tx: &Tx<'_>, cursor: &mut Cursor) -> Result<Progress, Error> {
    cursor.0 += 1;
    tx.execute("INSERT INTO batch VALUES(?1)", [cursor.0])?;
    Ok(if cursor.0 < BATCHES { Progress::More } else { Progress::Done })
}

/// The migrations: the first so many of three.
pub fn migrations(n: usize) -> Migrations {
    let all = [SCHEMA, INDEX, Migration::Stepwise(&BATCHED)];
    Migrations::new(&all[..n.min(all.len())])
}

/// Small limits, over a VFS.
pub fn config(vfs: Option<&'static str>) -> Config {
    Config {
        group_time_max: Duration::from_secs(60), // what is in a group does not hang on the machine's mood
        deadline: Duration::from_secs(20),
        wal_soft_bytes: 48 << 10,
        slots_max: 4,
        reader_cache_bytes: 1 << 20,
        writer_cache_bytes: 64 << 10, // spills
        statements_max: 32,
        inline_budget: Duration::from_millis(100),
        vfs,
        ..Config::default()
    }
}
