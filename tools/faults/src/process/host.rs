//! The side that outlives the worker.

use crate::disk::{Fate, Note};
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a worker said, and when that was true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// What.
    pub note: Note,
    /// When, by [`now`](super::now) in the worker: before an intent was queued, after an answer had come.
    pub at: u64,
}

/// A worker; it is killed when this value goes.
pub struct Worker {
    child: Child,
    reader: Option<JoinHandle<Vec<Said>>>,
    said: Receiver<()>,
}

impl Worker {
    /// Starts one.
    ///
    /// # Errors
    /// Where the program does not start.
    pub fn start(program: &Path, data: &Path, seed: u64, next: u64) -> Result<Worker> {
        let mut command = Command::new(program);
        command.arg("worker").arg("--data").arg(data);
        command.args(["--seed", &seed.to_string(), "--next", &next.to_string()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting the worker")?;
        let pipe = child.stdout.take().context("its output is piped")?;
        let (say, said) = sync_channel(1);
        let reader = std::thread::spawn(move || {
            let mut notes = Vec::new();
            // A line that was cut by the kill was never said.
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                match parse(&String::from_utf8_lossy(&line)) {
                    Some(said) => notes.push(said),
                    None => drop(say.try_send(())),
                }
            }
            notes
        });
        Ok(Worker { child, reader: Some(reader), said })
    }

    /// Waits until its store is open; answers whether it is, or the time is over, or it ended.
    ///
    /// Seconds in which the machine let neither of us run do not count.
    pub fn opened(&self, longest: Duration) -> bool {
        (0..longest.as_secs().max(1))
            .map(|_| self.said.recv_timeout(Duration::from_secs(1)))
            .find(|said| *said != Err(RecvTimeoutError::Timeout))
            .is_some_and(|said| said.is_ok())
    }

    /// Lets it work for a while; answers early where it ended.
    pub fn runs_for(&self, time: Duration) {
        let _ = self.said.recv_timeout(time); // it says nothing more by this way, but hangs up at its end
    }

    /// Kills it with SIGKILL and answers what it had said.
    ///
    /// # Errors
    /// Where it had ended by itself.
    pub fn kill(mut self) -> Result<Vec<Note>> {
        let ended = self.child.try_wait()?;
        self.child.kill()?;
        self.child.wait()?;
        let reader = self.reader.take().context("it is read once")?;
        let notes = reader.join().unwrap_or_default();
        match ended {
            Some(status) => anyhow::bail!("the worker ended by itself with {status}"),
            None => Ok(notes.into_iter().map(|said| said.note).collect()),
        }
    }

    /// Kills it, whether it had ended or not: its disk is gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill_anyhow(mut self) -> Result<Vec<Said>> {
        let _ = self.child.kill(); // it may have ended
        self.child.wait()?;
        let reader = self.reader.take().context("it is read once")?;
        Ok(reader.join().unwrap_or_default())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Fails only where it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(line: &str) -> Option<Said> {
    let mut words = line.split(' ');
    let what = words.next()?;
    let mut number = || words.next()?.parse::<u64>().ok();
    let op = number()?;
    let note = match what {
        "s" => Note::Sent(op),
        "d" => Note::Answered(op, Fate::Done { sequence: number()?, place: u32::try_from(number()?).ok()? }),
        "n" => Note::Answered(op, Fate::NotDone),
        "u" => Note::Answered(op, Fate::Unknown),
        _ => return None,
    };
    Some(Said { note, at: number()? })
}
