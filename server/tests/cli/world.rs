//! A data folder, commands on it, and a server that runs on it; all gone when dropped.
//!
//! **Invariants**
//! - Nothing sleeps: a test waits for a line, an answer or an exit, each at most [`PATIENCE`].

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A server on free ports.
pub(crate) const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
pub(crate) const PASSWORD: &str = "correct horse battery";

/// The same with a key of the configuration.
pub(crate) fn serve_set(key_and_value: &str) -> Vec<&str> {
    [&SERVE[..], &["--set", key_and_value]].concat()
}

/// A data folder, and commands on it.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        World { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn file_of(&self, service: &str) -> PathBuf {
        self.data().join(service).join(format!("{service}.db"))
    }

    /// A command in a folder of its own, without the environment's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_monolite"));
        command.args(arguments).arg("--data").arg(self.data()).current_dir(self.folder.path());
        command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE").env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Runs a command that reads this.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let ran = Ran::of(child.wait_with_output().unwrap());
        writer.join().unwrap();
        ran
    }

    /// Starts a server on free ports and waits until it answers.
    pub(crate) fn serve(&self) -> Server {
        self.serve_with(self.command(&SERVE))
    }

    pub(crate) fn serve_with(&self, mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Lines::of(child.stderr.take().unwrap());
        let mut server = Server { child, lines, said: String::new(), address: String::new() };
        let listening = server.wait_for("listening");
        server.address = listening.rsplit("http://").next().unwrap().trim().to_owned();
        server
    }

    /// Creates an admin and gives a token of theirs.
    pub(crate) fn admin(&self, email: &str) -> String {
        let create = ["users", "create", "--email", email, "--admin", "--password-stdin"];
        self.run_with(&create, PASSWORD).good();
        self.token(email)
    }

    pub(crate) fn token(&self, email: &str) -> String {
        let sign_in = ["sign-in", "--email", email, "--print-token", "--password-stdin"];
        self.run_with(&sign_in, PASSWORD).good().trim().to_owned()
    }

    /// The only value of the only row of a statement.
    pub(crate) fn value(&self, service: &str, sql: &str) -> serde_json::Value {
        let text = self.run(&["db", service, sql, "--json"]).good();
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        row.into_iter().next().unwrap().1
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) said: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), out: text(output.stdout), said: text(output.stderr) }
    }

    /// Its output; it must have succeeded.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// It must have ended with this code and have said all this, on stderr alone.
    #[track_caller]
    pub(crate) fn bad(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(parts.iter().all(|part| self.said.contains(part)), "{parts:?} in {self:?}");
        assert!(!self.said.contains("panicked"), "{self:?}");
        self
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) child: Child,
    lines: Lines,
    pub(crate) said: String,
    /// Where it listens.
    pub(crate) address: String,
}

impl Server {
    /// Waits for a line of stderr that holds this.
    pub(crate) fn wait_for(&mut self, part: &str) -> String {
        loop {
            let Some(line) = self.lines.next() else { panic!("no {part:?} in {}", self.said) };
            self.said.push_str(&line);
            self.said.push('\n');
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Everything it said until its end.
    pub(crate) fn rest(&mut self) -> &str {
        while let Some(line) = self.lines.next() {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        &self.said
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Drains it and waits for its end.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.rest());
    }

    /// One request on a connection of its own; status and body.
    pub(crate) fn request(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let (status, _, body) = self.request_with(method, path, token, body, "");
        (status, body)
    }

    /// The same with more headers, each with its line's end; status, head and body.
    pub(crate) fn request_with(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &str,
        headers: &str,
    ) -> (u16, String, String) {
        self.try_request(method, path, token, body, headers).unwrap()
    }

    /// The same of a server that may be killed meanwhile.
    pub(crate) fn try_request(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &str,
        headers: &str,
    ) -> Option<(u16, String, String)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let bearer = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\n{bearer}{headers}Connection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, head.to_ascii_lowercase(), body.to_owned()))
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> (u16, String) {
        self.request("GET", path, token, "")
    }
}

/// Reads an answer to its end; status and body.
pub(crate) fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer in {text:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal, as an operator does.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Lines of a stream, each waited for at most [`PATIENCE`].
pub(crate) struct Lines(Mutex<Receiver<String>>);

impl Lines {
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let (send, receive) = sync_channel(10_000);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Lines(Mutex::new(receive))
    }

    /// The next line; none at the end.
    pub(crate) fn next(&self) -> Option<String> {
        match self.0.lock().unwrap().recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("nothing was said for {PATIENCE:?}"),
        }
    }
}

pub(crate) fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
