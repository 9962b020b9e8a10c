//! OTLP over gRPC: one call, which is a message in a frame each way, and a status behind it.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::header::{CONTENT_TYPE, TE, USER_AGENT as AGENT};
use hyper::{HeaderMap, Method, Request, Response};
use prost::bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::http::text;
use super::{ANSWER_BYTES_MAX, Compression, Signal, USER_AGENT, Way, chain};
use crate::exporter::percent;
use crate::exporter::verdict::{Verdict, grpc_status_of_http, of_grpc, of_message};

/// A flag and a length stand before each message.
const HEAD_BYTES: usize = 5;

impl Signal {
    /// Returns the path of its call.
    const fn call(self) -> &'static str {
        match self {
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        }
    }
}

/// Makes one call and returns what came of it.
pub(super) async fn call(
    sender: &mut SendRequest<Full<Bytes>>,
    way: &Way,
    message: Bytes,
) -> Verdict {
    let request = match request(way, &message) {
        Ok(request) => request,
        Err(error) => return Verdict::again(chain(&error)),
    };
    match sender.send_request(request).await {
        Ok(response) => answer(response).await,
        Err(error) => Verdict::again(chain(&error)),
    }
}

fn request(way: &Way, message: &Bytes) -> hyper::http::Result<Request<Full<Bytes>>> {
    let prefix = way.endpoint.path.trim_end_matches('/');
    let url = way.endpoint.url(&format!("{prefix}{}", way.signal.call()));
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(url)
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(AGENT, USER_AGENT)
        .header("grpc-timeout", format!("{}m", way.timeout.as_millis().clamp(1, 99_999_999)));
    if way.compression == Compression::Gzip {
        request = request.header("grpc-encoding", "gzip");
    }
    let mut request = request.body(Full::new(frame(way.compression, message)))?;
    request.headers_mut().extend(way.headers.0.clone());
    Ok(request)
}

fn frame(compression: Compression, message: &Bytes) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + message.len());
    frame.put_u8(u8::from(compression == Compression::Gzip));
    frame.put_u32(u32::try_from(message.len()).expect("a request has a limit far below 4 GiB"));
    frame.extend_from_slice(message);
    frame.freeze()
}

/// Returns the message of a frame that is the only one.
fn unframe(mut body: Bytes) -> Option<Bytes> {
    if body.len() < HEAD_BYTES || body.get_u8() != 0 {
        return None;
    }
    let length = body.get_u32() as usize;
    (body.len() == length).then_some(body)
}

async fn answer(response: Response<Incoming>) -> Verdict {
    let (head, body) = response.into_parts();
    let body = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(body) => body,
        Err(error) => return Verdict::again(format!("its answer cannot be read: {error}")),
    };
    // An answer that is nothing but its status has it in front.
    let trailers = body.trailers().cloned().unwrap_or_default();
    let status = status(&trailers).or_else(|| status(&head.headers));
    let said = |name| text(&trailers, name).or_else(|| text(&head.headers, name));
    match status {
        Some(0) => match unframe(body.to_bytes()) {
            Some(message) => of_message(&message),
            None => Verdict::again("its answer cannot be read"),
        },
        Some(status) => {
            let message = said("grpc-message").map(percent::decode).unwrap_or_default();
            of_grpc(status, &message, said("grpc-status-details-bin"))
        }
        None if head.status.is_success() => Verdict::again("it does not answer as gRPC does"),
        None => {
            let status = head.status.as_u16();
            of_grpc(grpc_status_of_http(status), &format!("HTTP {status}"), None)
        }
    }
}

fn status(headers: &HeaderMap) -> Option<u32> {
    text(headers, "grpc-status")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_how_long_its_message_is() {
        let message = Bytes::from_static(b"abc");
        assert_eq!(&frame(Compression::None, &message)[..], b"\0\0\0\0\x03abc");
        assert_eq!(frame(Compression::Gzip, &message)[0], 1);
        assert_eq!(unframe(frame(Compression::None, &message)), Some(message.clone()));
        assert_eq!(unframe(frame(Compression::None, &Bytes::new())), Some(Bytes::new()));
        for broken in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x04abc", b"\x01\0\0\0\x03abc"] {
            assert_eq!(unframe(Bytes::copy_from_slice(broken)), None, "{broken:?}");
        }
    }
}
