//! `serve` and `status`: start, what is said, signals, the control socket, systemd.

use crate::world::{PATIENCE, SERVE, World, answer, mode_of};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixDatagram, UnixStream};

#[test]
fn a_server_starts_on_nothing_and_says_what_one_must_know() {
    let world = World::new();
    let server = world.serve();
    for part in ["SQLite 3.", "durability  full", "users create --email", world.data().to_str().unwrap()] {
        assert!(server.said.contains(part), "{part} in {}", server.said);
    }
    assert_eq!(server.get("/readyz", "").0, 200);
    assert_eq!(server.get("/demo", "").0, 200);
    assert_eq!(mode_of(&world.data()), 0o700);
    assert_eq!(mode_of(&world.file_of("Users")), 0o600);
    assert_eq!(mode_of(&world.data().join("control.sock")), 0o600);
    server.stop();
    assert!(!world.data().join("control.sock").exists());
}

#[test]
fn status_tells_a_running_server_from_a_stopped_one() {
    let world = World::new();
    world.run(&["status"]).bad(1, &[]);
    let server = world.serve();
    let pid = world.run(&["status", "--pid"]).good();
    assert_eq!(pid.trim(), server.child.id().to_string());
    let status: serde_json::Value = serde_json::from_str(&world.run(&["status", "--json"]).good()).unwrap();
    assert_eq!(status["running"], true);
    assert_eq!(status["listen"], server.address);
    assert_eq!(status["services"].as_array().unwrap().len(), 6);
    assert!(world.run(&["status"]).good().contains("serving"));
    assert_eq!(status["services"][0]["held"]["queued"], 0);
    assert!(world.run(&["status", "--writers"]).good().contains("tenant"));
    server.stop();
    let stopped = world.run(&["status", "--json"]).bad(1, &[]);
    let status: serde_json::Value = serde_json::from_str(&stopped.out).unwrap();
    assert_eq!((&status["running"], &status["pid"]), (&false.into(), &serde_json::Value::Null));
    assert!(status["services"][0]["bytes"].as_u64().unwrap() > 0);
}

#[test]
fn a_drain_finishes_the_request_in_flight() {
    let world = World::new();
    let mut server = world.serve();
    let token = world.admin("ann@example.org");
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /api/v1/documents HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 7\r\n";
    write!(stream, "{head}Authorization: Bearer {token}\r\nExpect: 100-continue\r\n\r\n").unwrap();
    // The server asks for the body: the request is in flight.
    let mut asked = [0; 25];
    std::io::Read::read_exact(&mut stream, &mut asked).unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100"));
    server.signal("TERM");
    server.wait_for("draining");
    assert!(TcpStream::connect(&server.address).map_or(true, refused), "a draining server takes no connection");
    stream.write_all(b"{\"a\":1}").unwrap();
    assert_eq!(answer(stream).0, 201);
    let status = server.child.wait().unwrap();
    assert!(status.success(), "{}", server.rest());
    assert_eq!(world.value("Documents", "SELECT count(*) FROM documents"), 1);
}

/// Whether a connection ends without an answer.
fn refused(mut stream: TcpStream) -> bool {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut text = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut text);
    text.is_empty()
}

#[test]
fn a_second_signal_stops_at_once() {
    let world = World::new();
    let mut server = world.serve();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let head = "POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n";
    write!(stream, "{head}Expect: 100-continue\r\n\r\n").unwrap();
    let mut asked = [0; 25];
    std::io::Read::read_exact(&mut stream, &mut asked).unwrap();
    server.signal("INT");
    server.wait_for("draining");
    assert!(server.child.try_wait().unwrap().is_none(), "it waits for the request");
    server.signal("INT");
    server.child.wait().unwrap();
    assert!(server.rest().contains("cut"), "{}", server.said);
}

#[test]
fn a_killed_server_starts_again_over_its_old_socket() {
    let world = World::new();
    let mut server = world.serve();
    let token = world.admin("ann@example.org");
    assert_eq!(server.request("POST", "/api/v1/documents", &token, "{\"a\":1}").0, 201);
    server.signal("KILL");
    server.child.wait().unwrap();
    assert!(world.data().join("control.sock").exists());
    assert_eq!(world.value("Documents", "SELECT count(*) FROM documents"), 1);
    let server = world.serve();
    assert_eq!(world.value("Documents", "SELECT count(*) FROM documents"), 1);
    server.stop();
}

#[test]
fn systemd_is_told_when_it_is_ready_and_when_it_stops() {
    let world = World::new();
    let path = world.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = world.command(&SERVE);
    command.env("NOTIFY_SOCKET", &path);
    let server = world.serve_with(command);
    let told = || {
        let mut text = [0; 64];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    assert_eq!(told(), "READY=1");
    server.signal("TERM");
    assert_eq!(told(), "STOPPING=1");
    drop(server);
}

#[test]
fn a_port_in_use_and_a_folder_in_use_are_said() {
    let world = World::new();
    let server = world.serve();
    let other = World::new();
    let taken = other.run(&["serve", "--listen", &server.address, "--admin", "127.0.0.1:0"]);
    taken.bad(1, &[&server.address, "in use", "--listen"]);
    assert!(!other.data().exists(), "nothing was made");
    let pid = server.child.id().to_string();
    let again = world.run(&SERVE);
    let again = again.bad(1, &["Users.db", "in use by process", &pid, "--data"]);
    assert_eq!(again.said.matches("in use").count(), 1, "{}", again.said);
    assert_eq!(server.get("/readyz", "").0, 200, "the first goes on");
    world.run(&["status", "--pid"]).good();
    other.run(&["serve", "--listen", "nonsense"]).bad(2, &["server.listen", "127.0.0.1:8080"]);
}

#[test]
fn nonsense_on_the_control_socket_is_answered_and_forgotten() {
    let world = World::new();
    let server = world.serve();
    let frame = |json: &[u8]| [&(json.len() as u64).to_le_bytes()[..], json].concat();
    let ask = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(world.data().join("control.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    for nonsense in [
        &b""[..],
        b"hello",
        b"{\"call\":1}",
        b"\"stop\"",
        b"\xff\xfe",
        b"{\"call\":{\"message\":\"Users.Drop\",\"body\":{}}}",
    ] {
        let answer = ask(&frame(nonsense));
        assert!(answer.contains("unknown_request") || answer.contains("unknown_message"), "{nonsense:?}: {answer}");
    }
    let wrong = ask(&frame(b"{\"call\":{\"message\":\"Users.UserByEmail\",\"body\":{\"mail\":1}}}"));
    assert!(wrong.contains("failed") && wrong.contains("UserByEmail"), "{wrong}");
    let status = frame(b"\"status\"");
    assert_eq!(ask(&status[..status.len() - 1]), "", "half a frame is no request");
    assert!(ask(&[status.clone(), status].concat()).matches("\"running\":true").count() == 2);
    server.stop();
}

#[test]
fn a_folder_deeper_than_a_socket_name_may_be_works() {
    let world = World::new();
    let deep = world.folder.path().join("d".repeat(100)).join("e".repeat(100));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_monolite"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"]).arg(&deep);
    let server = world.serve_with(command);
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_monolite"))
        .args(["status", "--pid", "--data"])
        .arg(&deep)
        .output()
        .unwrap();
    assert!(status.status.success());
    server.stop();
}
