//! `db`: reads, and only reads, the same with and without a server.

use crate::world::World;

fn both(check: impl Fn(&World)) {
    let world = World::new();
    world.admin("ann@example.org");
    check(&world);
    let server = world.serve();
    check(&world);
    server.stop();
}

#[test]
fn rows_are_printed_as_a_table_or_as_json() {
    both(|world| {
        let table = world.run(&["db", "Users", "SELECT email, role FROM users"]).good();
        assert!(table.contains("email") && table.contains("ann@example.org"), "{table}");
        assert_eq!(world.value("Users", "SELECT email FROM users"), "ann@example.org");
        let id = world.value("Users", "SELECT id FROM users");
        assert_eq!(id.as_str().unwrap().len(), 36, "an id is shown as text: {id}");
        let two = world.run_with(&["db", "Users", "--json"], "SELECT 1 AS a;\nSELECT\n 2 AS a").good();
        assert_eq!(two, "{\"a\":1}\n{\"a\":2}\n");
        let same = world.run(&["db", "Users", "SELECT 1 AS b, 2 AS a, 3 AS b", "--json"]).good();
        assert_eq!(same, "{\"b\":1,\"a\":2,\"b:1\":3}\n", "no column is lost, and they keep their order");
    });
}

#[test]
fn statements_that_do_more_than_read_are_refused() {
    both(|world| {
        for sql in [
            "DELETE FROM users",
            "UPDATE users SET role = 'admin' RETURNING id",
            "INSERT INTO users DEFAULT VALUES",
            "DROP TABLE users",
            "CREATE TEMP TABLE t(a)",
            "ATTACH '/tmp/x.db' AS x",
            "PRAGMA journal_mode = DELETE",
            "BEGIN IMMEDIATE",
            "VACUUM INTO '/tmp/monolite-vacuum.db'",
            "SELECT load_extension('x')",
            "SELEC 1",
        ] {
            let ran = world.run(&["db", "Users", sql]);
            assert!(matches!(ran.code, Some(1 | 2)), "{sql}: {ran:?}");
            assert!(ran.said.starts_with("db: ") && ran.out.is_empty(), "{sql}: {ran:?}");
        }
        for of in ["Users", "--all"] {
            world.run(&["db", of, "PRAGMA table_info(users)"]).bad(2, &["not allowed", "only reads", "sqlite_schema"]);
            world.run(&["db", of, " ;"]).bad(2, &["there is no statement"]);
        }
        world.run(&["db", "Users", "SELECT 1", "--rows", "0"]).bad(2, &["--rows"]);
        assert_eq!(world.value("Users", "SELECT count(*) FROM users"), 1);
    });
}

#[test]
fn a_statement_that_is_wrong_is_answered_in_sqlites_words() {
    both(|world| {
        for sql in ["SELECT emial FROM users", "SELECT emial FROM Users.users"] {
            let of = if sql.contains('.') { "--all" } else { "Users" };
            let said = world.run(&["db", of, sql]).bad(1, &["no such column: emial"]).said;
            assert!(!said.contains("Error code") && said.lines().count() == 1, "{said}");
        }
    });
}

#[test]
fn all_services_are_joined_at_one_moment() {
    both(|world| {
        let sql = "SELECT u.email, count(s.user_id) AS sessions FROM Users.users u
                   JOIN UserSessions.sessions s ON s.user_id = u.id GROUP BY u.id";
        let ran = world.run(&["db", "--all", sql, "--json"]);
        assert_eq!(ran.out, "{\"email\":\"ann@example.org\",\"sessions\":1}\n", "{ran:?}");
        assert!(ran.said.contains("as of ") && ran.said.contains("Users=") && ran.said.contains("Files="), "{ran:?}");
        assert!(world.run(&["db", "--all", sql]).good().contains("ann@example.org"));
        let two = world.run_with(&["db", "--all", "--json", "--quiet"], "SELECT 1 AS a;\nSELECT\n 2 AS a").good();
        assert_eq!(two, "{\"a\":1}\n{\"a\":2}\n");
        for sql in [
            "DELETE FROM Users.users",
            "ATTACH '/tmp/x.db' AS x",
            "DETACH Users",
            "BEGIN",
            "PRAGMA Users.user_version=1",
        ] {
            let ran = world.run(&["db", "--all", sql]);
            assert!(matches!(ran.code, Some(1 | 2)) && ran.out.is_empty(), "{sql}: {ran:?}");
        }
        world.run(&["db", "--all", "Users", "SELECT 1"]).bad(2, &["leave Users out"]);
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
        assert_eq!(world.run(&["db", "--all", endless, "--set", "db.time_max=200ms"]).code, Some(1));
    });
}

#[test]
fn a_command_without_a_server_leaves_the_wal_as_it_is() {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    server.signal("KILL");
    drop(server); // waits for its end
    let wal = world.data().join("Users/Users.db-wal");
    let (before, file) = (std::fs::read(&wal).unwrap(), std::fs::read(world.data().join("Users/Users.db")).unwrap());
    assert!(before.len() > 4096, "the server was killed with a WAL");
    let all = "SELECT count(*) AS n FROM Users.users";
    assert_eq!(world.run(&["db", "--all", all, "--json"]).good(), "{\"n\":1}\n", "and reads it");
    assert_eq!(world.value("Users", "SELECT count(*) FROM users"), 1);
    world.run(&["backup", "copy", world.folder.path().join("copy").to_str().unwrap()]).good();
    world.run(&["check"]).good();
    assert!(std::fs::read(&wal).unwrap() == before, "the WAL was changed");
    assert!(std::fs::read(world.data().join("Users/Users.db")).unwrap() == file, "the file was changed");
    let server = world.serve();
    assert_eq!(server.get("/api/v1/sessions/current", &token).0, 200);
    server.stop();
}

#[test]
fn rows_and_time_are_bounded() {
    both(|world| {
        let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i FROM n";
        let ran = world.run(&["db", "Users", many, "--json"]);
        assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 1000), "{}", ran.said);
        assert!(ran.said.contains("only the first 1000 rows"), "{}", ran.said);
        assert_eq!(world.run(&["db", "Users", many, "--json", "--rows", "5000"]).good().lines().count(), 5000);
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
        let ended = world.run(&["db", "Users", endless, "--set", "db.time_max=200ms"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
    });
}

#[test]
fn a_wrong_service_and_an_empty_folder_are_said() {
    both(|world| {
        world.run(&["db", "Userz", "SELECT 1"]).bad(1, &["no service Userz", "Users"]);
    });
    World::new().run(&["db", "Users", "SELECT 1"]).bad(1, &["data folder"]);
}
