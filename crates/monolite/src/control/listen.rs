//! The server's side of the control socket: a thread that accepts, a thread for each connection.

use super::{Refusal, Reply, SOCKET, answer, frame, short_name};
use crate::serving::Serving;
use rustix::fs::Mode;
use std::io::{self, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Connections at once.
const CONNECTIONS_MAX: usize = 32;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// The socket, there until dropped.
pub(crate) struct Listener {
    path: PathBuf,
}

impl Listener {
    /// Opens the socket in a data folder whose files this process holds, and answers on it.
    pub(crate) fn open(folder: &Path, serving: Arc<Serving>) -> io::Result<Listener> {
        let (_open, name) = short_name(folder)?;
        match std::fs::remove_file(&name) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {} // a server that was killed left it behind
        }
        let listener = bind(&name)?;
        std::thread::Builder::new().name("control".to_owned()).spawn(move || accept(&listener, &serving))?;
        Ok(Listener { path: folder.join(SOCKET) })
    }
}

/// Binds so that nobody else may connect, not even between bind and a chmod. On Linux the file takes the mode that the
/// socket has when it is bound. The umask would do too, but it is the whole process's, and other threads make files.
fn bind(name: &Path) -> io::Result<UnixListener> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(name)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn accept(listener: &UnixListener, serving: &Arc<Serving>) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else {
            // Out of descriptors: look again when some may be free, rather than at once.
            std::thread::park_timeout(Duration::from_millis(50));
            continue;
        };
        if !is_owner(&stream) {
            continue;
        }
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            let _ = frame::send(&mut stream, &Reply::Failed(Refusal::overloaded()));
            continue;
        }
        let (serving, count) = (serving.clone(), open.clone());
        let spawned = std::thread::Builder::new().name("control-connection".to_owned()).spawn(move || {
            if let Err(e) = converse(stream, &serving) {
                tracing::debug!("control socket: {e}");
            }
            count.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn converse(stream: UnixStream, serving: &Serving) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        let reply = match frame::receive(&mut stream, &mut line) {
            Ok(None) => return Ok(()),
            Ok(Some(request)) => {
                let mut broken = None;
                let reply = answer::answer(serving, request, &mut |step| {
                    if broken.is_none() {
                        broken = frame::send(&mut out, &Reply::Progress(step)).err();
                    }
                });
                if let Some(e) = broken {
                    return Err(e);
                }
                reply
            }
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Reply::Failed(Refusal {
                code: "unknown_request".to_owned(),
                detail: format!("the server (monolite {}) does not understand this request: {e}", crate::VERSION),
                retry_after_ms: None,
            }),
            Err(e) => return Err(e),
        };
        let failed = matches!(&reply, Reply::Failed(refusal) if refusal.code == "unknown_request");
        frame::send(&mut out, &reply)?;
        if failed {
            return Ok(());
        }
    }
}

fn is_owner(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid();
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == own || peer.uid.is_root())
}

impl Refusal {
    fn overloaded() -> Self {
        Refusal {
            code: "overloaded".to_owned(),
            detail: format!("the server answers {CONNECTIONS_MAX} commands already; try again"),
            retry_after_ms: Some(1000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_the_owner_may_connect_and_the_umask_of_the_process_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let umask = || {
            std::fs::read_to_string("/proc/self/status")
                .unwrap()
                .lines()
                .find(|l| l.starts_with("Umask"))
                .map(str::to_owned)
        };
        let before = umask();
        let name = folder.path().join("socket");
        let listener = bind(&name).unwrap();
        assert_eq!(std::fs::metadata(&name).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(umask(), before);
        let client = UnixStream::connect(&name).unwrap();
        listener.accept().unwrap();
        drop(client);
        let source = include_str!("listen.rs");
        let call = ["process::", "umask("].concat();
        assert!(!source.contains(&call), "it would hold for files that other threads make meanwhile");
    }
}
