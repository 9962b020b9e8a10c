//! The bytes of a part: streamed, counted, and taken up again where a connection broke off.

use std::io;

use reqwest::header::CONTENT_RANGE;
use reqwest::{Method, Response, StatusCode};

use super::access::{Access, Question};
use super::client::Descriptor;
use super::error::RegistryError;
use super::transport::{Asked, Tries, chunk};

/// What a connection has to bring for its end to count as the first one again.
const PROGRESS_BYTES: u64 = 1 << 20;

/// Hands the bytes of a part from byte `from` on to `sink`.
///
/// # Errors
/// The registry does not give them all, or `sink` does not take them.
pub(super) async fn read(
    access: &Access,
    repository: &str,
    part: &Descriptor,
    from: u64,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), RegistryError> {
    let what = format!("{repository}@{}", part.digest);
    let path = format!("{repository}/blobs/{}", part.digest);
    let asked = access.asked(&what);
    let mut tries = Tries::default();
    let mut at = from;
    while at < part.size {
        let (method, accept) = (Method::GET, "*/*");
        let question = Question { method, path: &path, repository, what: &what, accept, from: at };
        let began = at;
        let error = match access.ask(&question).await {
            Ok(response) => match pour(asked, response, part.size, &mut at, sink).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if at - began >= PROGRESS_BYTES {
            tries.forget();
        }
        tries.again(error).await?;
    }
    Ok(())
}

/// Hands on what one answer brings; `at` is where the next one has to begin.
async fn pour(
    asked: Asked<'_>,
    mut response: Response,
    size: u64,
    at: &mut u64,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), RegistryError> {
    let mut skipped = match response.status() {
        StatusCode::PARTIAL_CONTENT if begins(&response) == Some(*at) => 0,
        StatusCode::PARTIAL_CONTENT => {
            return Err(asked.refused("another range than the one asked for came"));
        }
        // One that knows no ranges begins at the beginning.
        _ => *at,
    };
    while let Some(bytes) = chunk(asked, &mut response).await? {
        let bytes = bytes.as_ref();
        let skip = usize::try_from(skipped).unwrap_or(usize::MAX).min(bytes.len());
        skipped -= skip as u64;
        let bytes = &bytes[skip..];
        if bytes.len() as u64 > size - *at {
            return Err(asked.refused(format!("it has more than the {size} bytes it should have")));
        }
        sink(bytes).map_err(RegistryError::Sink)?;
        *at += bytes.len() as u64;
    }
    if *at == size { Ok(()) } else { Err(asked.cut("it ended too early".into())) }
}

fn begins(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.trim().strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
