//! A program of one's own, as a process: `examples/own.rs`.

#![allow(clippy::unwrap_used)] // the helpers are tests too

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Cargo builds examples beside the tests.
fn own() -> Command {
    let test = std::env::current_exe().expect("a test has a path");
    let built: PathBuf = test.ancestors().nth(2).expect("tests lie in deps").join("examples/own");
    let mut command = Command::new(built);
    command.stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> Output {
    let output = command.output().expect("the example was built");
    assert!(output.status.success(), "{output:?}");
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn own_verbs_keys_defaults_services_and_routes_work() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let greet = |more: &[&str]| {
        let mut command = own();
        text(&output(command.args(["greet", "Ann", "--data"]).arg(&data).args(more)).stdout)
    };
    assert_eq!(greet(&[]), "Hello, Ann\n");
    assert_eq!(greet(&["--set", "greeting.word=Ahoy"]), "Ahoy, Ann\n");
    let printed = text(&output(own().args(["config", "print"])).stdout);
    assert!(printed.contains("127.0.0.1:8090") && printed.contains("What a greeting begins with."), "{printed}");
    assert!(printed.contains("Where requests are answered."), "a new default keeps the sentence: {printed}");
    let help = text(&output(own().arg("--help")).stdout);
    assert!(help.starts_with("Greets") && help.contains("Greet somebody"), "{help}");

    let serve = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--set", "greeting.word=Moin", "--data"];
    let mut server = own().args(serve).arg(&data).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    let listening = said.find(|line| line.contains("listening")).expect("it says where");
    let address = listening.rsplit("http://").next().unwrap().to_owned();
    assert!(get(&address, "/shout/ann").ends_with("MOIN, ANN"));
    assert!(get(&address, "/api/v1/greetings/ann").ends_with("\"Moin, ann\""));
    assert_eq!(greet(&[]), "Moin, Ann\n", "the running server answers the verb");
    let stopped = Command::new("kill").arg(server.id().to_string()).status().unwrap();
    assert!(stopped.success() && server.wait().unwrap().success());
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
