//! The examination of a service's file: sound, of the right shape, how large.

use super::{Owner, Reader, ServiceFile};
use crate::control::Step;
use crate::explain;
use monolite_service::Service;
use monolite_store::rusqlite::Connection;
use monolite_store::{Migration, Migrations, maintain};
use serde::{Deserialize, Serialize};

/// What was found of one file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FileReport {
    /// The service.
    pub(crate) service: String,
    /// Its file.
    pub(crate) file: String,
    /// Bytes of the database file.
    pub(crate) bytes: u64,
    /// Bytes of its WAL.
    pub(crate) wal_bytes: u64,
    /// Pages.
    pub(crate) pages: u64,
    /// The last commit.
    pub(crate) sequence: u64,
    /// How its schema stands: `current`, or in what it differs.
    pub(crate) schema: String,
    /// What is wrong; nothing where the file is sound.
    pub(crate) problems: Vec<String>,
}

/// Examines files one after another.
pub(crate) fn examine_all(
    files: &[(ServiceFile, Owner<'_>)],
    services: &[Service],
    progress: &mut dyn FnMut(Step),
) -> Vec<FileReport> {
    let total = files.iter().map(|(file, _)| file.sizes().0).sum();
    let mut done = 0;
    let one = |(file, owner): &(ServiceFile, Owner<'_>)| {
        progress(Step { what: file.service.clone(), done, total });
        done += file.sizes().0;
        examine(file, *owner, services)
    };
    files.iter().map(one).collect()
}

fn examine(file: &ServiceFile, owner: Owner<'_>, services: &[Service]) -> FileReport {
    let (bytes, wal_bytes) = file.sizes();
    let mut report = FileReport {
        service: file.service.clone(),
        file: file.path.display().to_string(),
        bytes,
        wal_bytes,
        pages: 0,
        sequence: 0,
        schema: "unknown".to_owned(),
        problems: Vec::new(),
    };
    let looked = Reader::open(&file.path, owner).and_then(|reader| {
        let found = match owner {
            Owner::Store(store) => store.check()?,
            Owner::Nobody => maintain::check(reader.connection())?,
        };
        (report.pages, report.sequence, report.problems) = (found.pages, found.sequence, found.problems);
        report.schema = schema(reader.connection(), &file.service, services, &mut report.problems)?;
        Ok(())
    });
    if let Err(e) = looked {
        report.problems.push(explain::told(&e));
    }
    report
}

/// How a file's schema stands beside what this executable knows; differences nobody planned become problems.
fn schema(
    connection: &Connection,
    service: &str,
    services: &[Service],
    problems: &mut Vec<String>,
) -> crate::Result<String> {
    let recorded = recorded(connection)?;
    let Some(known) = services.iter().find(|s| s.name == service) else {
        return Ok(format!("{} migrations; no service of this executable", recorded.len()));
    };
    let steps = known.migrations.steps();
    for (position, row) in recorded.iter().enumerate() {
        match steps.get(position) {
            Some(step) if step.checksum()[..] != row.checksum[..] || step.name() != row.name => {
                problems.push(format!("migration {} has changed since it was applied here", row.name));
                return Ok("changed".to_owned());
            }
            Some(_) => {}
            None => {
                problems.push(format!("migration {} is not known: a newer executable wrote this file", row.name));
                return Ok("newer than this executable".to_owned());
            }
        }
    }
    let applied = recorded.iter().filter(|row| row.applied).count();
    if applied < steps.len() {
        return Ok(format!("{applied} of {} migrations, the rest at the next start", steps.len()));
    }
    problems.extend(differences(connection, &known.migrations)?);
    Ok(format!("current, {applied} migration{}", if applied == 1 { "" } else { "s" }))
}

struct Recorded {
    name: String,
    checksum: Vec<u8>,
    applied: bool,
}

fn recorded(connection: &Connection) -> crate::Result<Vec<Recorded>> {
    let is_there = "SELECT count(*) FROM sqlite_schema WHERE name = '_monolite_migrations'";
    if connection.query_row(is_there, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(Vec::new());
    }
    let sql = "SELECT name, checksum, state = 'applied' FROM _monolite_migrations ORDER BY position";
    let mut statement = connection.prepare(sql)?;
    let rows = statement
        .query_map([], |row| Ok(Recorded { name: row.get(0)?, checksum: row.get(1)?, applied: row.get(2)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Where the schema is not what the migrations make of an empty file.
fn differences(connection: &Connection, migrations: &Migrations) -> crate::Result<Vec<String>> {
    let fresh = Connection::open_in_memory()?;
    for step in migrations.steps() {
        let Migration::Quick { sql, .. } = step else { return Ok(Vec::new()) }; // code, not SQL, made the rest
        if fresh.execute_batch(sql).is_err() {
            return Ok(Vec::new()); // it needs what only the store has
        }
    }
    let (is, should) = (objects(connection)?, objects(&fresh)?);
    let missing = should
        .iter()
        .filter(|o| !is.contains(o))
        .map(|(kind, name, _)| format!("{kind} {name} is missing or was changed"));
    let known = |name: &str| should.iter().any(|(_, other, _)| other == name);
    let added = is.iter().filter(|o| !known(&o.1)).map(|(kind, name, _)| format!("{kind} {name} is in no migration"));
    Ok(missing.chain(added).collect())
}

fn objects(connection: &Connection) -> crate::Result<Vec<(String, String, String)>> {
    let sql = "SELECT type, name, coalesce(sql, '') FROM sqlite_schema
               WHERE name NOT GLOB 'sqlite_*' AND name NOT GLOB '_monolite*' ORDER BY 1, 2";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(sql: &str, first: &'static str) -> (String, Vec<String>) {
        let migrations =
            Migrations::new([Migration::Quick { name: "1", sql: "CREATE TABLE a(x); CREATE INDEX i ON a(x)" }]);
        let services = [Service::new("S", migrations.clone())];
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE _monolite_migrations(position, name, checksum, state)").unwrap();
        let step = &migrations.steps()[0];
        let row = (first, step.checksum());
        connection.execute("INSERT INTO _monolite_migrations VALUES (0, ?, ?, 'applied')", row).unwrap();
        connection.execute_batch(sql).unwrap();
        let mut problems = Vec::new();
        let state = schema(&connection, "S", &services, &mut problems).unwrap();
        (state, problems)
    }

    #[test]
    fn a_schema_is_compared_with_what_its_migrations_make() {
        let as_migrated = "CREATE TABLE a(x); CREATE INDEX i ON a(x);";
        assert_eq!(look(as_migrated, "1"), ("current, 1 migration".to_owned(), vec![]));
        let (_, problems) = look("CREATE TABLE a(x); CREATE TABLE b(y);", "1");
        assert_eq!(problems, ["index i is missing or was changed", "table b is in no migration"]);
        assert_eq!(look(as_migrated, "0").0, "changed");
        let newer = format!("{as_migrated} INSERT INTO _monolite_migrations VALUES (1, '2', x'00', 'applied')");
        assert_eq!(look(&newer, "1").0, "newer than this executable");
        let older = format!("{as_migrated} DELETE FROM _monolite_migrations");
        assert!(look(&older, "1").0.starts_with("0 of 1"));
    }
}
