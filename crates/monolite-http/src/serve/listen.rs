//! Where connections come from: a trait small enough that an inherited or a Unix socket fits too.
//!
//! Never here: limits, HTTP.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A source of connections.
pub trait Listen: Send + 'static {
    /// One connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection and says who it is from.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Io, IpAddr)>> + Send;
}

impl Listen for TcpListener {
    type Io = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, IpAddr)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer.ip().to_canonical()))
    }
}

impl Listen for UnixListener {
    type Io = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, IpAddr)> {
        let (stream, _) = UnixListener::accept(self).await?;
        Ok((stream, IpAddr::V4(Ipv4Addr::LOCALHOST)))
    }
}

/// Makes an async listener of a standard one, bound here or inherited from another process.
///
/// # Errors
/// When the socket cannot be made non-blocking or registered; must be called inside a tokio runtime.
pub fn listener(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}
