//! The way to a receiver: OTLP over gRPC or HTTP, with or without TLS.
//!
//! One connection, which is kept as long as it is well, and one request at a time. A request is
//! one message each way, so gRPC is its frame, its headers and its trailers: see [`grpc`].

mod connect;
mod endpoint;
mod grpc;
mod http;
mod tls;

use std::error::Error;
use std::io::Write as _;
use std::time::Duration;

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use prost::bytes::Bytes;
use thiserror::Error;

pub(super) use endpoint::{Endpoint, EndpointError};
pub(super) use tls::{Tls, TlsError, Trust};

use super::verdict::Verdict;
use crate::context::{Clock as _, SystemClock};
use connect::Line;

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What a receiver is told of who calls.
const USER_AGENT: &str = concat!("msb/", env!("CARGO_PKG_VERSION"));

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Over HTTP/2, as calls.
    Grpc,
    /// As bodies of protobuf over HTTP/1.1.
    Http,
}

/// How messages are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// With gzip.
    Gzip,
}

/// What a message tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Figures.
    Metrics,
    /// What happened when, and within what.
    Traces,
}

/// Why a header cannot be sent.
#[derive(Debug, Error)]
pub enum HeaderError {
    /// Its name is none.
    #[error("`{0}` is no name of a header")]
    Name(String),
    /// Its value cannot stand in a header; it is not shown, since it may be a token.
    #[error("the value of the header `{0}` has characters that no header can carry")]
    Value(String),
}

/// Headers that go with every request; their values are never told to anybody else.
#[derive(Debug, Clone, Default)]
pub struct Headers(HeaderMap);

impl Headers {
    /// Adds one, over one of the same name.
    ///
    /// # Errors
    /// It is none.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let key = HeaderName::try_from(name).map_err(|_| HeaderError::Name(name.to_owned()))?;
        let value = HeaderValue::try_from(value);
        let mut value = value.map_err(|_| HeaderError::Value(name.to_owned()))?;
        // So it prints as `Sensitive`, and no table of a compression holds it.
        value.set_sensitive(true);
        self.0.insert(key, value);
        Ok(())
    }

    /// Tells whether they are the same, values too.
    #[cfg(test)]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// How a receiver is reached.
#[derive(Debug, Clone)]
pub struct Way {
    /// Where it is.
    pub endpoint: Endpoint,
    /// How messages travel.
    pub protocol: Protocol,
    /// How they are packed.
    pub compression: Compression,
    /// What goes with each.
    pub headers: Headers,
    /// What is told.
    pub signal: Signal,
    /// How long a request may take.
    pub timeout: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Transport {
    way: Way,
    tls: Option<Tls>,
    line: Option<Line>,
    clock: SystemClock,
}

impl Transport {
    /// Returns a way to a receiver; nobody is called yet.
    ///
    /// # Errors
    /// Certificates or a key cannot be read, or do not fit each other.
    pub(super) fn new(way: Way, trust: &Trust, clock: SystemClock) -> Result<Self, TlsError> {
        let tls = match way.endpoint.is_tls {
            true => Some(Tls::new(trust, way.protocol)?),
            false => None,
        };
        Ok(Self { way, tls, line: None, clock })
    }

    /// Sends one message and returns what came of it, within the time that a request may take.
    pub(super) async fn send(&mut self, message: Bytes) -> Verdict {
        let timeout = self.way.timeout;
        let sent = tokio::time::timeout(timeout, self.exchange(message)).await;
        let verdict = sent.unwrap_or_else(|_| {
            Verdict::again(format!("it did not answer within {}s", timeout.as_secs_f64()))
        });
        if matches!(verdict, Verdict::Again { .. }) {
            // Whatever is wrong, the next try begins with a connection that is not.
            self.line = None;
        }
        verdict
    }

    async fn exchange(&mut self, message: Bytes) -> Verdict {
        let message = match self.way.compression {
            Compression::None => message,
            Compression::Gzip => match gzip(&message) {
                Ok(packed) => packed,
                Err(error) => return Verdict::again(format!("cannot pack a message: {error}")),
            },
        };
        let kept = match self.line.take() {
            Some(mut line) => line.is_well().await.then_some(line),
            None => None,
        };
        let mut line = match kept {
            Some(line) => line,
            None => match Line::open(&self.way, self.tls.as_ref()).await {
                Ok(line) => line,
                Err(error) => return Verdict::again(chain(&error)),
            },
        };
        let verdict = match &mut line {
            Line::Grpc(sender) => grpc::call(sender, &self.way, message).await,
            Line::Http(sender) => {
                http::post(sender, &self.way, message, self.clock.unix_ms()).await
            }
        };
        self.line = Some(line);
        verdict
    }
}

fn gzip(message: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
    encoder.write_all(message)?;
    encoder.finish().map(Bytes::from)
}

/// Returns an error with what is below it, as one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        below = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_checked_and_its_value_never_shown() {
        let mut headers = Headers::default();
        headers.set("Authorization", "Bearer a,b=c").unwrap();
        let shown = format!("{headers:?}");
        assert!(shown.contains("authorization") && !shown.contains("Bearer"), "{shown}");
        assert!(matches!(headers.set("a b", "v"), Err(HeaderError::Name(_))));
        let error = headers.set("token", "geheim\n").unwrap_err();
        assert!(!error.to_string().contains("geheim"), "{error}");
    }

    #[test]
    fn a_packed_message_unpacks_to_itself() {
        use std::io::Read as _;
        let packed = gzip(b"figures, figures, figures").unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "figures, figures, figures");
    }
}
