//! The archive is proven by the server itself, and one that is wrong is an alarm at each place until it is sound again.

use crate::world::{PATIENCE, Server, World, answer, serve_set};
use monolite_archive::place::Folder;
use monolite_archive::{BASES, History};
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

fn serve(world: &World, every: &str) -> Server {
    let every = format!("archive.verify_every={every}");
    let set = serve_set(&every);
    world.serve_with(world.command(&set))
}

/// What the admin address answers.
fn operators(server: &Server, path: &str) -> (u16, String) {
    let line = server.said.lines().find(|line| line.contains("operators")).unwrap();
    let address = line.split("http://").nth(1).unwrap().split(' ').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    answer(stream)
}

/// The service's part of `backup status`, once it is such.
fn until(world: &World, service: &str, such: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let ran = world.run(&["backup", "status", "--json"]);
        let status: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
        let file =
            status["files"].as_array().unwrap().iter().find(|file| file["service"] == json!(service)).unwrap().clone();
        if such(&file) {
            return file;
        }
        assert!(began.elapsed() < PATIENCE, "{file}");
    }
}

/// Flips one byte of a document in the newest base, and writes that again with checksums that are right.
fn plant(world: &World) {
    let place = Arc::new(Folder::open(world.data().join("archive")).unwrap());
    let id = std::fs::read_dir(world.data().join("archive/Documents")).unwrap().next().unwrap().unwrap().file_name();
    let history = History::new(place, "Documents", id.to_str().unwrap()).unwrap();
    let base = *history.level(BASES).unwrap().iter().max_by_key(|s| s.name.last).unwrap();
    let mut decoder = history.read(&base, 1 << 20).unwrap();
    let mut pages = Vec::new();
    while let Some(number) = decoder.next().unwrap() {
        pages.push((number, decoder.page().to_vec()));
    }
    let text = |page: &[u8]| page.windows(64).position(|window| window == [b'Z'; 64]);
    let (page, at) = pages.iter_mut().find_map(|(_, page)| text(page).map(|at| (page, at))).unwrap();
    page[at + 32] = b'Q';
    history.delete(&base).unwrap();
    let mut writing = history.write(base.level, decoder.header()).unwrap();
    pages.iter().for_each(|(number, page)| writing.page(*number, page).unwrap());
    writing.finish().unwrap();
}

#[test]
fn a_wrong_archive_is_an_alarm_at_each_place_and_over_restarts_until_it_is_sound_again() {
    let world = World::new();
    let server = serve(&world, "1s");
    let token = world.admin("ann@example.org");
    let long = json!({ "text": format!("a {} b", "Z".repeat(400)) }).to_string();
    assert_eq!(server.request("POST", "/api/v1/documents", &token, &long).0, 201);
    let sound = until(&world, "Documents", |file| {
        file["verification"]["sound"]["sequence"].as_u64() == file["published"].as_u64()
    });
    assert_eq!(sound["verification"]["wrong"], Value::Null, "{sound}");
    let (code, ready) = operators(&server, "/readyz?verbose");
    assert_eq!(code, 200);
    assert!(ready.contains("[+] the archive of Documents: last verified 2"), "{ready}");
    assert!(!server.get("/readyz?verbose", "").1.contains("archive"), "for operators only");
    let metrics = operators(&server, "/metrics").1;
    assert!(metrics.contains("monolite_archive_wrong{service=\"Documents\"} 0"), "{metrics}");
    assert!(world.run(&["status"]).good().contains("archives verified, each since"));
    world.run(&["backup", "base", "Documents"]).good();
    until(&world, "Documents", |file| file["last_base"] == file["published"] && file["copying_percent"].is_null());
    server.stop();
    plant(&world);

    let mut server = serve(&world, "1s");
    let said = server.wait_for("WRONG");
    assert!(said.contains("ERROR") && said.contains("the archive of Documents is WRONG since"), "{said}");
    let (code, ready) = operators(&server, "/readyz?verbose");
    assert_eq!(code, 200, "requests are answered as well as before");
    assert!(ready.contains("[!] the archive of Documents is WRONG since"), "{ready}");
    let metrics = operators(&server, "/metrics").1;
    assert!(metrics.contains("monolite_archive_wrong{service=\"Documents\"} 1"), "{metrics}");
    assert!(!metrics.contains("monolite_archive_last_verified_seconds{service=\"Documents\"} 0"), "{metrics}");
    world.run(&["backup", "status"]).bad(1, &["the archive of Documents is WRONG"]);
    server.child.kill().unwrap();
    server.child.wait().unwrap();

    let server = serve(&world, "0s");
    assert!(world.run(&["status"]).good().contains("ARCHIVE: the archive of Documents is WRONG"));
    // A commit, so that the new base is of another one; then a proof that leads past what is wrong.
    assert_eq!(server.request("POST", "/api/v1/documents", &token, &long).0, 201);
    world.run(&["backup", "now"]).good();
    world.run(&["backup", "base", "Documents"]).good();
    until(&world, "Documents", |file| file["last_base"] == file["published"] && file["copying_percent"].is_null());
    world.run(&["backup", "base", "Nobody"]).bad(1, &["Nobody"]);
    server.stop();
    let server = serve(&world, "1s");
    until(&world, "Documents", |file| file["verification"]["wrong"].is_null());
    server.stop();
    assert!(!world.data().join("Documents/spool/verify").exists());
}
