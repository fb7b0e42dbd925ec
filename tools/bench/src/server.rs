//! The standard server as a process: built, started, signed in to, stopped or killed.

use crate::http::client::{Client, request};
use anyhow::{Context, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a server to answer.
const START_MAX: Duration = Duration::from_secs(30);
/// How often free ports are looked for.
const PORTS_TRIED: usize = 5;
/// How often it is asked meanwhile.
const ASK_EACH: Duration = Duration::from_millis(2);
/// Longest wait for a server that was asked to stop.
const STOP_MAX: Duration = Duration::from_secs(40);

/// Linux's unit of CPU time in /proc (USER_HZ) on x86-64 and aarch64.
const TICKS_A_SECOND: u64 = 100;

const EMAIL: &str = "bench@example.org";
const PASSWORD: &str = "correct horse battery staple";

/// A running server. It is killed when this value goes.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From its start to its first good answer.
    pub(crate) started_in: Duration,
}

/// Builds the server beside this executable, as cargo would, and says where it is.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let program = own.with_file_name("monolite");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "monolite-server"]);
    if own.parent().is_some_and(|folder| folder.ends_with("release")) {
        command.arg("--release");
    }
    match command.current_dir(env!("CARGO_MANIFEST_DIR")).status() {
        Ok(status) if !status.success() => bail!("building the server failed"),
        Err(e) if !program.exists() => Err(e).context("there is no server, and no cargo to build it"),
        _ => Ok(program),
    }
}

/// Starts any of our servers and waits until it answers a path with success.
pub(crate) async fn start(mut command: Command, address: SocketAddr, ready: &str) -> anyhow::Result<Server> {
    let begin = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("starting the server")?;
    let mut server = Server { child, address, started_in: Duration::ZERO };
    let asked = request(ready, None, None);
    let mut pause = tokio::time::interval(ASK_EACH);
    loop {
        if let Ok(mut client) = Client::connect(address).await
            && client.ask(&asked).await.is_ok_and(|a| a.status == 200)
        {
            server.started_in = begin.elapsed();
            return Ok(server);
        }
        if let Some(status) = server.child.try_wait()? {
            bail!("the server ended with {status}");
        }
        if begin.elapsed() > START_MAX {
            bail!("the server does not answer {ready}");
        }
        pause.tick().await;
    }
}

/// The standard server on a data folder.
pub(crate) async fn serve(program: &Path, data: &Path, log: &Path) -> anyhow::Result<Server> {
    for _ in 1..PORTS_TRIED {
        let said = log.metadata().map_or(0, |log| log.len());
        match serve_once(program, data, log).await {
            Err(_) if says_in_use(log, said)? => {}
            other => return other,
        }
    }
    serve_once(program, data, log).await
}

async fn serve_once(program: &Path, data: &Path, log: &Path) -> anyhow::Result<Server> {
    let (address, admin) = (free_address()?, free_address()?);
    let mut command = Command::new(program);
    command.arg("serve").arg("--data").arg(data);
    command.args(["--listen", &address.to_string(), "--admin", &admin.to_string()]);
    command.stderr(std::fs::File::options().create(true).append(true).open(log)?);
    start(command, address, "/livez").await.with_context(|| format!("its log is {}", log.display()))
}

/// Whether a port that was free is another program's meanwhile: a connection that it opened has got it.
fn says_in_use(log: &Path, from: u64) -> anyhow::Result<bool> {
    let said = std::fs::read(log)?;
    let said = said.get(usize::try_from(from)?..).unwrap_or_default();
    Ok(String::from_utf8_lossy(said).contains("is in use by another program"))
}

/// Makes a user and signs in: the token.
pub(crate) async fn sign_in(program: &Path, data: &Path) -> anyhow::Result<String> {
    command_line(program, &["users", "create", "--email", EMAIL, "--admin", "--password-stdin"], data)?;
    let printed = command_line(program, &["sign-in", "--email", EMAIL, "--print-token", "--password-stdin"], data)?;
    Ok(printed.trim().to_string())
}

/// Makes so many users by an admin's token and signs them in: their tokens.
pub(crate) async fn users(address: SocketAddr, admin: &str, n: usize) -> anyhow::Result<Vec<String>> {
    let mut client = Client::connect(address).await?;
    let mut tokens = Vec::with_capacity(n);
    for i in 0..n {
        let account = format!(r#""email":"tenant{i}@example.org","password":"{PASSWORD}""#);
        let made =
            client.ask(&request("/api/v1/users", Some(admin), Some(format!("{{{account}}}").as_bytes()))).await?;
        if made.status != 201 {
            bail!("no user was made: {} {}", made.status, String::from_utf8_lossy(made.body));
        }
        let signed_in =
            client.ask(&request("/api/v1/sessions", None, Some(format!("{{{account}}}").as_bytes()))).await?;
        let body: serde_json::Value = serde_json::from_slice(signed_in.body)?;
        tokens.push(body["token"].as_str().context("a session has a token")?.to_owned());
    }
    Ok(tokens)
}

fn command_line(program: &Path, arguments: &[&str], data: &Path) -> anyhow::Result<String> {
    use std::io::Write;
    let mut command = Command::new(program);
    command.args(arguments).arg("--data").arg(data);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().expect("it is piped").write_all(PASSWORD.as_bytes())?;
    let done = child.wait_with_output()?;
    if !done.status.success() {
        bail!("`monolite {}`: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr));
    }
    Ok(String::from_utf8(done.stdout)?)
}

impl Server {
    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a crash would, at once.
    pub(crate) fn kill(mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Asks it to stop and waits for it.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let begin = Instant::now();
        let mut pause = tokio::time::interval(Duration::from_millis(10));
        while begin.elapsed() < STOP_MAX {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() { Ok(()) } else { Err(anyhow::anyhow!("the server ended with {status}")) };
            }
            pause.tick().await;
        }
        bail!("the server does not stop")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only where it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The CPU time that a process has used, of all its threads.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in brackets and may hold spaces; times are fields 14 and 15.
    let after = stat.rsplit_once(')').context("/proc/PID/stat has a name in brackets")?.1;
    let ticks: u64 = after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_A_SECOND))
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
