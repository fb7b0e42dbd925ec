//! The actor: one thread owns the connection, jobs reach it through a bounded channel, answers come back by oneshot.
//!
//! This is how the common async wrappers of SQLite work.

use monolite_store::rusqlite::{Connection, Result};
use std::sync::mpsc::{SyncSender, sync_channel};
use tokio::sync::oneshot;

/// Jobs that may wait; above the number of callers of any row, so that no caller blocks its worker.
const QUEUE: usize = 4096;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A connection with a thread of its own. The thread ends with the last handle.
#[derive(Clone)]
pub(crate) struct Actor(SyncSender<Job>);

impl Actor {
    /// Moves the connection to its thread.
    pub(crate) fn new(mut connection: Connection) -> std::io::Result<Actor> {
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        std::thread::Builder::new().name("bench-actor".into()).spawn(move || {
            while let Ok(job) = queue.recv() {
                job(&mut connection);
            }
        })?;
        Ok(Actor(jobs))
    }

    /// Runs a job on the thread and waits for its answer.
    pub(crate) async fn call<T: Send + 'static>(
        self,
        job: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // A caller that went away needs no answer.
            let _ = reply.send(job(connection));
        });
        self.0.send(job).map_err(|_| anyhow::anyhow!("the actor's thread ended"))?;
        Ok(answer.await??)
    }
}
