//! The empty handler that HTTP reads are compared with: axum, one route, nothing to say.

use std::net::SocketAddr;

/// Serves it until killed.
pub(crate) fn empty(_listen: SocketAddr) -> anyhow::Result<()> {
    anyhow::bail!("the accept loop is not there yet")
}
