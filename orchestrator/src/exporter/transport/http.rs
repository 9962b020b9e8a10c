//! OTLP over HTTP: a message is the body of a POST.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT as AGENT,
};
use hyper::{HeaderMap, Method, Request, Response};
use prost::bytes::Bytes;

use super::{ANSWER_BYTES_MAX, Compression, USER_AGENT, Way, chain};
use crate::exporter::verdict::{HttpAnswer, Verdict, of_http};

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// Sends one message and returns what came of it.
pub(super) async fn post(
    sender: &mut SendRequest<Full<Bytes>>,
    way: &Way,
    message: Bytes,
    now_ms: u64,
) -> Verdict {
    let request = match request(way, message) {
        Ok(request) => request,
        Err(error) => return Verdict::again(chain(&error)),
    };
    match sender.send_request(request).await {
        Ok(response) => answer(response, now_ms).await,
        Err(error) => Verdict::again(chain(&error)),
    }
}

fn request(way: &Way, message: Bytes) -> hyper::http::Result<Request<Full<Bytes>>> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(way.endpoint.path.as_str())
        .header(HOST, way.endpoint.authority.as_str())
        .header(AGENT, USER_AGENT)
        .header(CONTENT_TYPE, PROTOBUF);
    if way.compression == Compression::Gzip {
        request = request.header(CONTENT_ENCODING, "gzip");
    }
    let mut request = request.body(Full::new(message))?;
    request.headers_mut().extend(way.headers.0.clone());
    Ok(request)
}

async fn answer(response: Response<Incoming>, now_ms: u64) -> Verdict {
    let (head, body) = response.into_parts();
    let body = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Verdict::again(format!("its answer cannot be read: {error}")),
    };
    let answer = HttpAnswer {
        status: head.status.as_u16(),
        is_protobuf: text(&head.headers, "content-type")
            .is_some_and(|kind| kind.starts_with("application/x-protobuf")),
        retry_after: text(&head.headers, RETRY_AFTER.as_str()),
        body: &body,
    };
    of_http(answer, now_ms)
}

/// Returns a header that is text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
