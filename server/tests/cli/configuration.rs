//! The configuration: layers, origins, mistakes.

use crate::world::{World, serve_set};
use std::process::Stdio;

#[test]
fn each_value_is_printed_with_where_it_came_from() {
    let world = World::new();
    std::fs::write(
        world.folder.path().join("monolite.toml"),
        "[server]\nlisten = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:2\"\n",
    )
    .unwrap();
    let mut command = world.command(&["config", "print", "--json", "--set", "http.body_max=2MiB"]);
    let output = command.env("MONOLITE__SERVER__ADMIN", "127.0.0.1:3").stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success());
    let lines: Vec<serde_json::Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let find = |key: &str| {
        let entry = lines.iter().find(|e| e["key"] == key).unwrap();
        (entry["value"].as_str().unwrap(), entry["origin"].as_str().unwrap())
    };
    assert_eq!(find("server.listen"), ("127.0.0.1:1", "monolite.toml:2"));
    assert_eq!(find("server.admin"), ("127.0.0.1:3", "environment MONOLITE__SERVER__ADMIN"));
    assert_eq!(find("http.body_max"), ("2MiB", "flag --set http.body_max"));
    assert_eq!(find("server.data").1, "flag --data");
    assert_eq!(find("users.open_registration"), ("false", "default"));
    let table = world.run(&["config", "print"]).good();
    assert!(table.contains("monolite.toml:3"), "{table}");
}

#[test]
fn an_unknown_key_is_refused_wherever_it_stands() {
    let world = World::new();
    world.run(&["status", "--set", "server.listn=x"]).bad(2, &["server.listn", "did you mean server.listen?"]);
    let mut command = world.command(&["serve"]);
    let output = command.env("MONOLITE__USERS__OPEN", "true").output().unwrap();
    crate::world::Ran::of(output).bad(2, &["MONOLITE__USERS__OPEN", "users.open"]);
    std::fs::write(world.folder.path().join("monolite.toml"), "\n[http]\nbody_maxx = 1\n").unwrap();
    world.run(&["serve"]).bad(2, &["monolite.toml:3", "http.body_maxx", "did you mean http.body_max?"]);
    assert!(!world.data().exists());
    world.run(&["config", "print", "--config", "absent.toml"]).bad(2, &["absent.toml"]);
}

#[test]
fn a_variable_that_misses_an_underscore_is_told_by_name() {
    let world = World::new();
    let print = |more: &[&str]| {
        let mut command = world.command(&[&["config", "print", "--json"], more].concat());
        crate::world::Ran::of(command.env("MONOLITE_HTTP_BODY_MAX", "2MiB").output().unwrap())
    };
    let told = print(&[]);
    assert!(
        told.said.contains("MONOLITE_HTTP_BODY_MAX sets nothing; did you mean MONOLITE__HTTP__BODY_MAX?"),
        "{told:?}"
    );
    let printed = told.good();
    let line = printed.lines().find(|line| line.contains("\"http.body_max\"")).unwrap();
    assert!(line.contains("\"default\""), "{line}");
    assert_eq!(print(&["--quiet"]).said, "");
}

#[test]
fn what_would_be_passed_over_in_silence_is_told() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    let print = |name: &str, value: &[u8]| {
        let value = std::ffi::OsStr::from_bytes(value);
        crate::world::Ran::of(world.command(&["config", "print"]).env(name, value).output().unwrap())
    };
    print("MONOLITE__HTTP__BODY_MAX", b"\xff").bad(2, &["environment MONOLITE__HTTP__BODY_MAX", "UTF-8"]);
    print("OTHERS", b"\xff").good();
    let said = print("monolite__http__body_max", b"5").said;
    assert!(said.contains("monolite__http__body_max sets nothing; did you mean MONOLITE__HTTP__BODY_MAX?"), "{said}");
    let mut without = std::process::Command::new(env!("CARGO_BIN_EXE_monolite"));
    without.args(["status", "--set", "server.data="]).current_dir(world.folder.path());
    crate::world::Ran::of(without.output().unwrap()).bad(2, &["server.data must not be empty", "./data"]);
    world.run(&["config", "print", "--config", "/dev/zero"]).bad(2, &["/dev/zero", "larger than 1 MiB"]);
    world.run(&["config", "print", "--set", "files.unfinished_max=0"]).bad(2, &["files.unfinished_max must not be 0"]);
    std::os::unix::fs::symlink("nowhere", world.folder.path().join("monolite.toml")).unwrap();
    world.run(&["config", "print"]).bad(2, &["cannot read the configuration monolite.toml"]);
}

#[test]
fn wrong_arguments_end_with_two() {
    let world = World::new();
    world.run(&["no-such-verb"]).bad(2, &["no-such-verb"]);
    world.run(&["serve", "--no-such-flag"]).bad(2, &["--no-such-flag"]);
    world.run(&["status", "--set", "nonsense"]).bad(2, &["section.key=value"]);
    world.run(&["status", "--set", "http.headers_max=0"]).bad(2, &["--set http.headers_max", "must not be 0"]);
    world.run(&["status", "--set", "store.wal_hard=1MiB"]).bad(2, &["store.wal_soft (64MiB) must be less"]);
    world.run(&["serve", "--set", "archive.to=ftp://host/x"]).bad(2, &["ftp://host/x", "s3://BUCKET/PREFIX"]);
    let mut command = world.command(&["status"]);
    let output = command.env("RUST_LOG", "=====").output().unwrap();
    crate::world::Ran::of(output).bad(2, &["RUST_LOG is words such as"]);
}

#[test]
fn the_openapi_document_is_printed_without_a_data_folder() {
    let world = World::new();
    let document: serde_json::Value = serde_json::from_str(&world.run(&["openapi"]).good()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/api/v1/sessions"]["post"].is_object());
    assert!(!world.data().exists());
}

#[test]
fn a_body_that_cannot_be_kept_is_refused_before_anything_is_opened() {
    let world = World::new();
    let serve = |set: &str| world.run(&serve_set(set));
    serve("documents.bytes_max=65MiB").bad(1, &["Documents", "above its store's value_max, 67108864 bytes"]);
    serve("files.bytes_max=17GiB").bad(2, &["files.bytes_max must be 16GiB at most, not 17GiB"]);
    assert!(!world.file_of("Users").exists(), "nothing was made");
    serve("http.bodies_max=1MiB").bad(1, &["http.bodies_max, 1048576 bytes", "16777216 bytes"]);
}
