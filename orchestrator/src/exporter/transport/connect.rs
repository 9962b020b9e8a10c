//! A connection to a receiver: an address, a stream, perhaps TLS, and the handshake of HTTP.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::bytes::Bytes;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{Protocol, Tls, Way};
use crate::worker::{self, WorkerError};

/// How long one address of several may take to answer.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A connection on which requests are sent.
#[derive(Debug)]
pub(super) enum Line {
    /// For calls of gRPC.
    Grpc(http2::SendRequest<Full<Bytes>>),
    /// For requests of HTTP.
    Http(http1::SendRequest<Full<Bytes>>),
}

/// Why nobody could be reached.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    /// The name could not be looked up.
    #[error("cannot look up {host}")]
    Name {
        host: String,
        #[source]
        source: io::Error,
    },
    /// The host gives no thread to look it up.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// Nobody is there.
    #[error("cannot connect to {at}")]
    Connect {
        at: String,
        #[source]
        source: io::Error,
    },
    /// The connection is not safe.
    #[error("no TLS with {at}")]
    Tls {
        at: String,
        #[source]
        source: io::Error,
    },
    /// The other side does not speak HTTP.
    #[error("{at} does not speak HTTP as it should")]
    Handshake {
        at: String,
        #[source]
        source: hyper::Error,
    },
}

impl Line {
    /// Connects.
    pub(super) async fn open(way: &Way, tls: Option<&Tls>) -> Result<Self, ConnectError> {
        let endpoint = &way.endpoint;
        let at = || endpoint.authority.clone();
        let stream = dial(&endpoint.host, endpoint.port).await?;
        // Requests are small and nothing follows them: a wait for more would only be late.
        drop(stream.set_nodelay(true));
        let shaken = match tls {
            None => Self::shake(way.protocol, stream).await,
            Some(tls) => {
                let failed = |source| ConnectError::Tls { at: at(), source };
                let stream = tls.wrap(&endpoint.host, stream).await.map_err(failed)?;
                Self::shake(way.protocol, stream).await
            }
        };
        shaken.map_err(|source| ConnectError::Handshake { at: at(), source })
    }

    async fn shake(
        protocol: Protocol,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> hyper::Result<Self> {
        let stream = TokioIo::new(stream);
        match protocol {
            Protocol::Grpc => {
                let (sender, carried) = http2::handshake(TokioExecutor::new(), stream).await?;
                // What breaks it is told to the request that is on its way.
                tokio::spawn(async { drop(carried.await) });
                Ok(Self::Grpc(sender))
            }
            Protocol::Http => {
                let (sender, carried) = http1::handshake(stream).await?;
                tokio::spawn(async { drop(carried.await) });
                Ok(Self::Http(sender))
            }
        }
    }

    /// Tells whether another request can be sent on it.
    pub(super) async fn is_well(&mut self) -> bool {
        match self {
            Self::Grpc(sender) => sender.ready().await.is_ok(),
            Self::Http(sender) => sender.ready().await.is_ok(),
        }
    }
}

/// Connects to the first address of a host that answers.
async fn dial(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let mut last = None;
    for address in addresses(host, port).await? {
        let connected = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok(stream),
            Err(source) => {
                last = Some(ConnectError::Connect { at: address.to_string(), source });
            }
        }
    }
    let nothing = || io::Error::other("it has no address");
    Err(last.unwrap_or_else(|| ConnectError::Name { host: host.to_owned(), source: nothing() }))
}

async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(address) = host.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.to_owned();
    // The system's resolver waits, and has no other way to be asked.
    let found = worker::blocking(move || {
        (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>)
    });
    let failed = |source| ConnectError::Name { host: host.to_owned(), source };
    found.await?.map_err(failed)
}
