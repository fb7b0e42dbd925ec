//! The empty handler that HTTP reads are compared with: axum, one handler that does nothing, our accept loop.

use monolite_http::{Drained, Limits, Stop, listener, serve};
use std::net::{SocketAddr, TcpListener};

/// Serves it until killed.
pub(crate) fn empty(listen: SocketAddr) -> anyhow::Result<()> {
    let runtime = crate::store::runtime()?;
    let socket = TcpListener::bind(listen)?;
    let ended = runtime.block_on(async move {
        let router = axum::Router::new().fallback(async || "");
        Ok::<Drained, std::io::Error>(serve(listener(socket)?, router, Limits::default(), Stop::new()).await)
    })?;
    anyhow::bail!("the accept loop ended by itself: {ended:?}")
}
