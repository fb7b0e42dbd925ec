//! A database that is replaced under a running server ends its own service, and nothing of the other file is archived.

use crate::world::{PATIENCE, Server, World};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

const COUNT: &str = "SELECT count(*) FROM documents";

fn write(server: &Server, token: &str) -> (u16, String) {
    server.request("POST", "/api/v1/documents", token, &json!({ "n": 1 }).to_string())
}

/// Everything about a service whose file was replaced, while the server runs and after it.
fn noticed(replace: fn(&Path, &Path)) {
    let world = World::new();
    let server = world.serve();
    let token = world.admin("ann@example.org");
    (0..7).for_each(|_| assert_eq!(write(&server, &token).0, 201));
    server.stop();
    // An older copy, as an operator has it.
    let older = world.folder.path().join("older.db");
    std::fs::copy(world.file_of("Documents"), &older).unwrap();
    let bytes = std::fs::read(&older).unwrap();
    let server = world.serve();
    (0..7).for_each(|_| assert_eq!(write(&server, &token).0, 201));
    world.run(&["backup", "now"]).good();
    server.stop();
    let server = world.serve();
    (0..7).for_each(|_| assert_eq!(write(&server, &token).0, 201));
    world.run(&["backup", "now"]).good();
    replace(&older, &world.file_of("Documents"));

    let (code, body) = write(&server, &token);
    assert_eq!(code, 500, "{body}");
    assert!(body.contains("\"code\":\"corrupt\""), "{body}");
    assert_eq!(server.get("/api/v1/documents?limit=1", &token).0, 500, "nothing is answered from it");
    assert_eq!(server.get("/api/v1/sessions/current", &token).0, 200, "the other services go on");
    let (ready, checks) = server.get("/readyz?verbose", "");
    assert!(ready == 503 && checks.contains("[-] Documents damaged"), "{checks}");
    let status = world.run(&["status"]).good();
    assert!(status.contains("is not the file that was opened") && status.contains("-wal.replaced"), "{status}");
    let began = Instant::now();
    loop {
        let archive: Value = serde_json::from_str(&world.run(&["backup", "status", "--json"]).out).unwrap();
        let files = archive["files"].as_array().unwrap();
        let state = |service: &str| files.iter().find(|f| f["service"] == json!(service)).unwrap()["state"].clone();
        assert_eq!(state("Users"), json!("keeping"));
        if state("Documents").as_str().unwrap().starts_with("stopped: ") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{archive}");
    }
    server.stop();
    assert!(std::fs::read(world.file_of("Documents")).unwrap() == bytes, "nothing was written into it");

    // The archive has what was acknowledged, and nothing of the other file; the next start leaves the service out.
    let into = world.folder.path().join("back");
    world.run(&["restore", "Documents", "--into", into.to_str().unwrap()]).good();
    let back = World::new();
    std::fs::rename(into, back.data()).unwrap();
    assert_eq!(back.value("Documents", COUNT), json!(21));
    let mut server = world.serve();
    assert!(
        server.said.contains("DAMAGED     Documents") && server.said.contains("was acknowledged"),
        "{}",
        server.said
    );
    server.signal("TERM");
    server.rest();
}

#[test]
fn another_file_moved_over_a_database_ends_its_service_alone_and_is_not_archived() {
    noticed(|older, file| std::fs::rename(older, file).unwrap());
}

#[test]
fn another_files_bytes_copied_into_a_database_end_its_service_alone_and_are_not_archived() {
    noticed(|older, file| assert!(std::fs::copy(older, file).unwrap() > 0));
}
