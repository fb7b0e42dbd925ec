//! Data folders that a server must not run on: each is refused with its reason, and left as it was.

use crate::world::{PASSWORD, Ran, SERVE, World};
use monolite::store::rusqlite::Connection;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// A folder that a server has run on.
fn used() -> World {
    let world = World::new();
    world.serve().stop();
    // A clean stop has copied the WAL whole; what it still holds would cover damage to the file.
    for service in ["Users", "UserSessions", "Settings", "Documents", "Files", "Recipes"] {
        std::fs::remove_file(world.file_of(service).with_extension("db-wal")).unwrap();
    }
    world
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn a_mistyped_folder_is_named_and_not_made() {
    let world = World::new();
    let named = ["there is no data folder", "data"];
    let sign_in = ["sign-in", "--email", "ann@example.org", "--print-token", "--password-stdin"];
    world.run_with(&sign_in, PASSWORD).bad(2, &named);
    world.run(&["import", "documents", "-", "--owner", "ann@example.org"]).bad(2, &named);
    assert!(world.run(&["status"]).bad(1, &[]).out.contains("there is no data folder"));
    world.run(&["restore", "--all", "--into", "x"]).bad(1, &["there is no archive in"]);
    for verb in [&["check"][..], &["db", "Users", "SELECT 1"], &["backup", "copy", "x"]] {
        world.run(verb).bad(1, &["cannot read the data folder"]);
    }
    assert!(!world.data().exists() && !world.folder.path().join("x").exists());
    std::fs::write(world.data(), "a file").unwrap();
    world.run(&SERVE).bad(1, &["data is no folder"]);
}

#[test]
fn what_is_no_database_is_refused() {
    let world = used();
    let file = world.file_of("Users");
    std::fs::write(&file, "dear diary\n".repeat(1000)).unwrap();
    let before = bytes(&file);
    serves_without(&world, "Users", "not a SQLite database");
    assert_eq!(bytes(&file), before);
    let check = world.run(&["check"]).bad(1, &[]);
    assert!(check.out.contains("Users.db") && check.out.contains("not a database"), "{}", check.out);
}

#[test]
fn a_damaged_file_is_refused_or_found_by_check() {
    let world = used();
    let file = world.file_of("Documents");
    let open = std::fs::File::options().write(true).open(&file).unwrap();
    open.write_all_at(&[0xa5; 2000], 2 * 4096 + 8).unwrap();
    let check = world.run(&["check"]).bad(1, &[]);
    assert!(check.out.contains("Documents.db:"), "{}", check.out);
    // The root of the schema gone: nothing can be read.
    open.write_all_at(&[0xa5; 1000], 100).unwrap();
    serves_without(&world, "Documents", "Documents.db");
}

#[test]
fn a_file_cut_short_is_refused() {
    let world = used();
    let file = world.file_of("Settings");
    std::fs::File::options().write(true).open(&file).unwrap().set_len(50).unwrap();
    serves_without(&world, "Settings", "cut short to 50 bytes");
}

#[test]
fn a_folder_in_which_every_file_is_damaged_is_refused() {
    let world = used();
    for service in ["Users", "UserSessions", "Settings", "Documents", "Files", "Recipes"] {
        std::fs::write(world.file_of(service), "dear diary").unwrap();
    }
    world.run(&SERVE).bad(1, &["not a SQLite database"]);
}

/// The damaged service does not serve and says so everywhere; the others do.
fn serves_without(world: &World, damaged: &str, why: &str) {
    let mut server = world.serve_with(world.command(&SERVE));
    assert!(server.said.contains("DAMAGED") && server.said.contains(why), "{}", server.said);
    let (code, said) = server.get("/readyz?verbose", "");
    assert_eq!(code, 503);
    assert!(said.contains(&format!("[-] {damaged} damaged\n")) && !said.contains(why), "{said}");
    let status = world.run(&["status"]).good();
    assert!(status.contains("damaged: ") && status.contains(why), "{status}");
    let (path, table) =
        if damaged == "Recipes" { ("/api/v1/documents", "Documents") } else { ("/api/v1/recipes", "Recipes") };
    let (code, said) = server.get(path, "");
    assert!(matches!(code, 200 | 401), "{code} {said}");
    assert!(world.run(&["db", table, "SELECT 1"]).code == Some(0), "the others serve");
    let other = world.run(&["db", damaged, "SELECT 1"]);
    assert_ne!(other.code, Some(0), "{other:?}");
    server.signal("TERM");
    assert!(server.child.wait().unwrap().success(), "{}", server.rest());
}

#[test]
fn a_newer_file_is_refused_and_left_alone() {
    let world = used();
    let file = world.file_of("Recipes");
    edit(
        &file,
        "INSERT INTO _monolite_migrations SELECT position + 1, 'migrations/0099_later.sql', kind, checksum, state, cursor, applied_sequence FROM _monolite_migrations ORDER BY position DESC LIMIT 1",
    );
    let before = bytes(&file);
    world.run(&SERVE).bad(1, &["service Recipes", "0099_later", "nothing was changed"]);
    assert_eq!(bytes(&file), before);
    let check = world.run(&["check"]).bad(1, &[]);
    assert!(check.out.contains("newer than this executable"), "{}", check.out);
}

#[test]
fn a_changed_migration_is_refused() {
    let world = used();
    let file = world.file_of("Users");
    edit(
        &file,
        "UPDATE _monolite_migrations SET checksum = zeroblob(32) WHERE name = (SELECT min(name) FROM _monolite_migrations)",
    );
    world.run(&SERVE).bad(1, &["service Users", "changed", "nothing was changed"]);
}

#[test]
fn a_folder_that_cannot_be_read_is_refused() {
    let world = used();
    let mut command = world.command(&SERVE);
    if is_root() {
        // The world's own folder must let the other user pass; the data folder does not.
        std::fs::set_permissions(world.folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        command.uid(65534).gid(65534);
    } else {
        std::fs::set_permissions(world.data(), std::fs::Permissions::from_mode(0o000)).unwrap();
    }
    let output = command.output();
    std::fs::set_permissions(world.data(), std::fs::Permissions::from_mode(0o700)).unwrap();
    match output {
        Ok(output) => drop(Ran::of(output).bad(1, &["ermission denied", "user who runs this"])),
        Err(e) => println!("skipped: the executable cannot be run as another user: {e}"),
    }
}

#[test]
fn a_read_only_and_a_full_disk_are_refused() {
    let world = World::new();
    std::fs::create_dir(world.data()).unwrap();
    let within = |options: &str| {
        let script = format!("mount -t tmpfs -o {options} none \"$1\" && shift && exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script, "sh"]).arg(world.data());
        command.arg(env!("CARGO_BIN_EXE_monolite")).args(SERVE).arg("--data").arg(world.data());
        Ran::of(command.output().unwrap())
    };
    let probe = Command::new("unshare").args(["-m", "true"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        println!("skipped: this user may not mount");
        return;
    }
    within("ro").bad(1, &["ead-only"]);
    within("size=40k").bad(1, &["full", "make room"]);
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

fn edit(file: &Path, sql: &str) {
    let connection = Connection::open(file).unwrap();
    assert_eq!(connection.execute(sql, []).unwrap(), 1);
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
}
