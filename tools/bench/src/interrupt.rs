//! Ctrl-C and SIGTERM end a run as a failure does: what it started is ended and what it wrote is removed on the way out.

use anyhow::bail;
use tokio::signal::unix::{SignalKind, signal};

/// Runs this, unless a signal comes first.
pub(crate) async fn unless_interrupted<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("told to end"),
    }
}
