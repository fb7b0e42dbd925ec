//! The command's side of the control socket.

use super::{Refusal, Reply, Request, Step, USAGE, frame, short_name};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::fmt;
use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A way to a running server. Shared by threads: each request in flight has a connection of its own.
pub(crate) struct Client {
    folder: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

struct Connection {
    stream: BufReader<UnixStream>,
    line: Vec<u8>,
}

/// The server said no, or failed.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Refusal);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl std::error::Error for Refused {}

impl Refused {
    /// Whether what was asked for was wrong.
    pub(crate) fn is_usage(&self) -> bool {
        self.0.code == USAGE
    }
}

impl Client {
    /// Connects to the server that runs on a data folder; none where none does.
    pub(crate) fn connect(folder: &Path) -> io::Result<Option<Client>> {
        match Connection::open(folder) {
            Ok(first) => Ok(Some(Client { folder: folder.to_owned(), idle: Mutex::new(vec![first]) })),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        request: &Request,
        progress: &mut dyn FnMut(Step),
    ) -> crate::Result<T> {
        Ok(serde_json::from_str(self.ask_raw(request, progress)?.get())?)
    }

    fn ask_raw(&self, request: &Request, progress: &mut dyn FnMut(Step)) -> crate::Result<Box<RawValue>> {
        let mut connection = match self.take() {
            Some(idle) => idle,
            None => Connection::open(&self.folder)?,
        };
        let answer = connection.exchange(request, progress).map_err(|e| {
            anyhow::Error::new(e)
                .context("the connection to the server broke; what was asked may or may not have happened")
        })?;
        // The server closes the connection after these.
        let closed = matches!(&answer, Err(r) if r.code == "overloaded" || r.code == "unknown_request");
        if !closed {
            self.idle.lock().expect("no code panics while it holds this lock").push(connection);
        }
        answer.map_err(|refusal| Refused(refusal).into())
    }

    fn take(&self) -> Option<Connection> {
        self.idle.lock().expect("no code panics while it holds this lock").pop()
    }
}

impl Connection {
    fn open(folder: &Path) -> io::Result<Connection> {
        let (_open, name) = short_name(folder)?;
        Ok(Connection { stream: BufReader::new(UnixStream::connect(name)?), line: Vec::new() })
    }

    fn exchange(
        &mut self,
        request: &Request,
        progress: &mut dyn FnMut(Step),
    ) -> io::Result<Result<Box<RawValue>, Refusal>> {
        frame::send(self.stream.get_mut(), request)?;
        loop {
            match frame::receive(&mut self.stream, &mut self.line)? {
                Some(Reply::Progress(step)) => progress(step),
                Some(Reply::Done(value)) => return Ok(Ok(value)),
                Some(Reply::Failed(refusal)) => return Ok(Err(refusal)),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}
