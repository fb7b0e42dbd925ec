//! An archive in a bucket, by two lines of configuration: all verbs, the loss of the machine, and sealed.
//!
//! Needs SeaweedFS, as `crates/monolite-archive/tests/bucket.rs` does; without it the tests say that they were skipped.

use crate::world::{PATIENCE, SERVE, Server, World, serve_set};
use monolite_peers::Weed;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

const COUNT: &str = "SELECT count(*) FROM documents";

/// The configuration of a bucket, with more lines for its section.
fn configure(world: &World, weed: &Weed, to: &str, more: &str) {
    let keys = world.folder.path().join("bucket-keys");
    if !keys.exists() {
        let (key, secret) = (Weed::KEY, Weed::SECRET);
        std::fs::write(&keys, format!("aws_access_key_id = {key}\naws_secret_access_key = {secret}\n")).unwrap();
        std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o400)).unwrap();
    }
    let endpoint = &weed.endpoint;
    let text = format!("[archive]\nto = \"{to}\"\nendpoint = \"{endpoint}\"\ncredentials_file = {keys:?}\n{more}\n");
    std::fs::write(world.folder.path().join("monolite.toml"), text).unwrap();
}

fn write(server: &Server, token: &str, times: usize) {
    for n in 0..times {
        let body = json!({ "n": n }).to_string();
        let answered = server.request("POST", "/api/v1/documents", token, &body);
        assert_eq!(answered.0, 201, "{answered:?}");
    }
}

fn kill_and_lose_all(world: &World, mut server: Server) {
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    std::fs::remove_dir_all(world.data()).unwrap();
}

fn restore_all(world: &World, to: &str, into: &Path) {
    world.run(&["restore", "--all", "--to", to, "--accept", "--into", into.to_str().unwrap()]).good();
}

#[test]
fn a_machine_that_is_lost_comes_back_from_a_bucket_and_goes_on_there() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(weed) = Weed::for_a_test(scratch.path()) else { return };
    let world = World::new();
    configure(&world, &weed, "s3://archives/plain/one", "");
    let server = world.serve();
    assert!(server.said.contains("there is no bucket archives: make it"), "{}", server.said);
    server.stop();
    weed.make_bucket("archives").unwrap();
    let server = world.serve();
    let said = &server.said;
    assert!(said.contains("s3://archives/plain/one; it survives this machine"), "{said}");
    assert!(!world.data().join("archive").exists());
    let token = world.admin("ann@example.org");
    write(&server, &token, 3);
    world.run(&["backup", "mark", "before", "--json"]).good();
    write(&server, &token, 2);
    world.run(&["backup", "now"]).good();
    let status: Value = serde_json::from_str(&world.run(&["backup", "status", "--json"]).good()).unwrap();
    assert_eq!(status["place"], json!("s3://archives/plain/one"));
    assert!(world.run(&["backup", "list"]).good().contains("Documents"));
    assert!(world.run(&["backup", "verify"]).good().contains("sound"));
    let printed = world.run(&["config", "print"]).good();
    assert!(
        printed.contains("bucket-keys") && !printed.contains(Weed::SECRET) && !printed.contains(Weed::KEY),
        "{printed}"
    );
    kill_and_lose_all(&world, server);

    let cut = world.folder.path().join("cut");
    restore_all(&world, "before", &cut);
    let at_cut = World::new();
    std::fs::rename(&cut, at_cut.data()).unwrap();
    assert_eq!(at_cut.value("Documents", COUNT), 3);
    restore_all(&world, "newest", &world.data());
    let mut server = world.serve();
    assert_eq!(server.get("/api/v1/sessions/current", &token).0, 200);
    assert_eq!(world.value("Documents", COUNT), 5);
    write(&server, &token, 1);
    world.run(&["backup", "now"]).good();
    assert!(world.run(&["backup", "verify"]).good().contains("sound"));
    server.signal("TERM");
    server.rest();

    // The files of the cut are older than the archive: told, and rolled forward from the bucket.
    std::fs::remove_dir_all(world.data()).unwrap();
    std::fs::rename(at_cut.data(), world.data()).unwrap();
    world.run(&SERVE).bad(1, &["Documents is at commit", "s3://archives/plain/one"]);
    let server = world.serve_with(world.command(&[&SERVE[..], &["--roll-forward"]].concat()));
    assert_eq!(world.value("Documents", COUNT), 6);
    server.stop();
}

#[test]
fn a_sealed_bucket_acknowledges_what_it_has_and_opens_with_its_key_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(weed) = Weed::for_a_test(scratch.path()) else { return };
    let world = World::new();
    weed.make_bucket("archives").unwrap();
    let key = world.folder.path().join("archive-key");
    world.run(&["backup", "new-key", key.to_str().unwrap()]).good();
    world.run(&["backup", "new-key", key.to_str().unwrap()]).bad(1, &["archive-key is there already"]);
    assert_eq!(crate::world::mode_of(&key), 0o400);
    let seal = format!("key_file = {key:?}\nack = \"archived\"\nack_wait = \"60s\"");
    configure(&world, &weed, "s3://archives/sealed", &seal);
    let server = world.serve();
    assert!(server.said.contains("s3://archives/sealed, sealed with key"), "{}", server.said);
    assert!(server.said.contains("before its answer"), "{}", server.said);
    let token = world.admin("ann@example.org");
    write(&server, &token, 4);
    kill_and_lose_all(&world, server);

    let into = world.folder.path().join("back");
    let restore = ["restore", "Documents", "--into", into.to_str().unwrap()];
    configure(&world, &weed, "s3://archives/sealed", "");
    world.run(&restore).bad(1, &["monolite.json", "is sealed", "archive.key_file"]);
    let other = world.folder.path().join("other-key");
    world.run(&["backup", "new-key", other.to_str().unwrap()]).good();
    configure(&world, &weed, "s3://archives/sealed", &format!("key_file = {other:?}"));
    world.run(&restore).bad(1, &["and this is key"]);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o440)).unwrap();
    configure(&world, &weed, "s3://archives/sealed", &seal);
    world.run(&restore).bad(2, &["archive.key_file", "chmod 0400"]);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o400)).unwrap();
    restore_all(&world, "newest", &world.data());
    assert_eq!(world.value("Documents", COUNT), 4, "what was acknowledged");
    let server = world.serve();
    write(&server, &token, 1);
    server.stop();
}

#[test]
fn a_bucket_that_does_not_answer_is_no_outage_and_is_told() {
    let world = World::new();
    let text = "[archive]\nto = \"s3://nowhere/x\"\nendpoint = \"http://127.0.0.1:1\"\n";
    std::fs::write(world.folder.path().join("monolite.toml"), text).unwrap();
    let with_keys = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        command.env("AWS_ACCESS_KEY_ID", "who").env("AWS_SECRET_ACCESS_KEY", "what");
        command
    };
    let server = world.serve_with(with_keys(&SERVE));
    assert!(server.said.contains("NOT YET     Documents, Files"), "{}", server.said);
    assert!(server.get("/readyz", "").0 == 200);
    let other = World::new();
    other.run(&serve_set("archive.to=s3://")).bad(2, &["names no bucket"]);
    let mut without = other.command(&serve_set("archive.to=s3://b"));
    without.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_WEB_IDENTITY_TOKEN_FILE");
    crate::world::Ran::of(without.output().unwrap()).bad(2, &["no keys for the bucket", "archive.credentials_file"]);
}

/// A bucket's address at which every connection is closed at once, and from some moment on none is ever answered: that moment, and
/// who hears of each such connection.
fn silent(falls_silent: Arc<AtomicBool>) -> (String, std::sync::mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, heard) = sync_channel(100);
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for client in listener.incoming().map_while(Result::ok).take(1000) {
            if falls_silent.load(SeqCst) {
                held.push(client);
                let _ = tell.try_send(());
            }
        }
    });
    (address, heard)
}

#[test]
fn a_server_whose_bucket_never_answers_ends_in_the_time_of_its_unit() {
    // What TimeoutStopSec leaves beside `server.drain`, which nothing needs here.
    const MOST: Duration = Duration::from_secs(25);
    let world = World::new();
    let falls_silent = Arc::new(AtomicBool::new(false));
    let (endpoint, heard) = silent(falls_silent.clone());
    let text = format!("[archive]\nto = \"s3://nowhere/x\"\nendpoint = \"{endpoint}\"\ncut_every = \"1s\"\n");
    std::fs::write(world.folder.path().join("monolite.toml"), text).unwrap();
    let mut serve = world.command(&SERVE);
    serve.env("AWS_ACCESS_KEY_ID", "who").env("AWS_SECRET_ACCESS_KEY", "what");
    let mut server = world.serve_with(serve);
    falls_silent.store(true, SeqCst);
    let token = world.admin("ann@example.org");
    write(&server, &token, 1);
    heard.recv_timeout(PATIENCE).unwrap();
    let began = Instant::now();
    server.signal("TERM");
    let status = server.child.wait().unwrap();
    assert!(status.success() && began.elapsed() < MOST, "{status} after {:?}: {}", began.elapsed(), server.rest());
}
