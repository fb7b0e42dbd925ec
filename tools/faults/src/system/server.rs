//! The program as a process: started, asked, told, killed.

use super::program::PROGRAM;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// The longest wait for a line of its start, or for an answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// Lines that wait to be read.
const LINES: usize = 1_000;

/// A running server; it is killed when this value goes.
pub(super) struct Server {
    child: Child,
    pub(super) address: String,
}

/// The program on a data folder.
pub(super) fn command(program: &Path, arguments: &[&str], data: &Path) -> Command {
    let mut command = Command::new(program);
    command.env(PROGRAM, "1").env_remove("RUST_LOG").env("NO_COLOR", "1").stdin(Stdio::null());
    command.args(arguments).arg("--data").arg(data);
    command
}

impl Server {
    /// Starts it and waits until it listens.
    pub(super) fn start(program: &Path, data: &Path) -> Result<Server> {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--set", "archive.cut_every=1s"];
        let mut child = command(program, &serve, data).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let log = child.stderr.take().context("its log is piped")?;
        let mut server = Server { child, address: String::new() };
        let (tell, heard) = sync_channel(LINES);
        // Reads to its end, so that nobody waits for a full pipe.
        std::thread::spawn(move || {
            BufReader::new(log).lines().map_while(Result::ok).for_each(|line| drop(tell.try_send(line)))
        });
        let mut said = String::new();
        while server.address.is_empty() {
            let line = heard.recv_timeout(PATIENCE).with_context(|| format!("the server does not start: {said}"))?;
            said.push_str(&line);
            said.push('\n');
            if line.contains("listening")
                && let Some((_, address)) = line.rsplit_once("http://")
            {
                server.address = address.trim().to_owned();
            }
        }
        Ok(server)
    }

    /// Ends it as a crash would.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only where it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks for a move; answers the status.
pub(super) fn carry(address: &str, number: i64) -> Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = format!(r#"{{"number":{number}}}"#);
    let length = body.len();
    write!(
        stream,
        "POST /api/v1/moves HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).context("the answer was cut off")?;
    ensure!(answer.contains("\r\n\r\n"), "the answer was cut off");
    Ok(status.parse()?)
}
