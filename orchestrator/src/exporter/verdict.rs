//! What a receiver's answer means: taken, to be sent again, or never to be sent again.

use std::time::Duration;

use prost::Message as _;
use prost::bytes::Bytes;
use schema::encoding::from_base64;

use super::messages::{Exported, RetryInfo, Status};

/// The longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// The longest reason of a receiver that is told, in bytes.
const REASON_BYTES_MAX: usize = 200;

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The receiver has it.
    Taken,
    /// The receiver has it but for some points, which it does not want.
    Partly {
        /// How many it does not want.
        rejected: u64,
        /// Why.
        why: String,
    },
    /// It may take the same later.
    Again {
        /// What went wrong.
        why: String,
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
    /// It will never take it.
    Refused {
        /// What it says.
        why: String,
    },
}

impl Verdict {
    /// Returns the verdict on a request that got no answer, or none that can be read.
    #[must_use]
    pub(super) fn again(why: impl Into<String>) -> Self {
        Self::Again { why: why.into(), after: None }
    }
}

/// An answer of HTTP.
#[derive(Debug, Clone, Copy)]
pub(super) struct HttpAnswer<'a> {
    /// Its status.
    pub status: u16,
    /// Whether it says that its body is protobuf.
    pub is_protobuf: bool,
    /// Its `Retry-After`.
    pub retry_after: Option<&'a str>,
    /// Its body.
    pub body: &'a Bytes,
}

/// Judges an answer of HTTP, at a moment in milliseconds since 1970.
#[must_use]
pub(super) fn of_http(answer: HttpAnswer<'_>, now_ms: u64) -> Verdict {
    let HttpAnswer { status, is_protobuf, retry_after, body } = answer;
    if (200..300).contains(&status) {
        return match is_protobuf {
            true => of_message(body),
            false => Verdict::Taken,
        };
    }
    let said = is_protobuf.then(|| Status::decode(body.clone()).ok()).flatten();
    let said = said.map(|said| said.message).filter(|message| !message.is_empty());
    let said = said.map(|message| format!(": {}", short(&message))).unwrap_or_default();
    let why = format!("it answered {status}{said}");
    match status {
        408 | 429 => Verdict::Again { why, after: wait(retry_after, now_ms) },
        400..500 => Verdict::Refused { why },
        _ => Verdict::Again { why, after: wait(retry_after, now_ms) },
    }
}

/// Judges an answer of gRPC by its status, its message and what `grpc-status-details-bin` says.
#[must_use]
pub(super) fn of_grpc(status: u32, message: &str, details: Option<&str>) -> Verdict {
    let name = CODES.get(status as usize).copied().unwrap_or("of an unknown kind");
    let why = match message {
        "" => format!("it answered {name}"),
        message => format!("it answered {name}: {}", short(message)),
    };
    let after = details.and_then(retry_delay).map(|delay| delay.min(RETRY_AFTER_MAX));
    match status {
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS
        1 | 4 | 10 | 11 | 14 | 15 => Verdict::Again { why, after },
        // RESOURCE_EXHAUSTED, where the receiver says that it will recover
        8 if after.is_some() => Verdict::Again { why, after },
        _ => Verdict::Refused { why },
    }
}

/// Returns the gRPC status that stands for an answer of HTTP which carries none.
#[must_use]
pub(super) const fn grpc_status_of_http(status: u16) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// Judges the message of an answer that says it went well.
#[must_use]
pub(super) fn of_message(body: &Bytes) -> Verdict {
    match Exported::decode(body.clone()) {
        Err(_) => Verdict::again("its answer cannot be read"),
        Ok(Exported { partial_success: Some(part) }) if part.rejected > 0 => Verdict::Partly {
            rejected: part.rejected.unsigned_abs(),
            why: short(&part.error_message),
        },
        Ok(_) => Verdict::Taken,
    }
}

/// The names of the statuses of gRPC, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Returns what a receiver said, as one short line.
fn short(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.truncate(line.floor_char_boundary(REASON_BYTES_MAX));
    line.trim().to_owned()
}

/// Reads `Retry-After`: seconds, or a moment.
fn wait(text: Option<&str>, now_ms: u64) -> Option<Duration> {
    let text = text?.trim();
    let asked = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
            Duration::from_millis(u64::try_from(at).ok()?.saturating_sub(now_ms))
        }
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

/// Returns the delay of the `RetryInfo` in the details of a status.
fn retry_delay(details: &str) -> Option<Duration> {
    let status = Status::decode(from_base64(details)?.as_slice()).ok()?;
    let is_it = |url: &str| url.ends_with("/google.rpc.RetryInfo");
    let info = status.details.iter().find(|detail| is_it(&detail.type_url))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?;
    let seconds = Duration::from_secs(u64::try_from(delay.seconds).ok()?);
    Some(seconds + Duration::from_nanos(u64::try_from(delay.nanos).ok()?))
}

#[cfg(test)]
mod tests {
    use schema::encoding::base64;

    use super::*;
    use crate::exporter::messages::{Detail, PartialSuccess, Span};

    fn http(status: u16, retry_after: Option<&str>, body: &[u8]) -> Verdict {
        let body = Bytes::copy_from_slice(body);
        // 2026-11-29 02:00:00
        of_http(
            HttpAnswer { status, is_protobuf: true, retry_after, body: &body },
            1_795_917_600_000,
        )
    }

    fn after(verdict: &Verdict) -> Option<u64> {
        match verdict {
            Verdict::Again { after, .. } => after.map(|after| after.as_secs()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rt_11_7_the_400_class_drops_but_for_408_and_429() {
        for status in [200, 202, 204] {
            assert_eq!(http(status, None, b""), Verdict::Taken, "{status}");
        }
        for status in [400, 401, 403, 404, 413, 415, 499] {
            assert!(matches!(http(status, None, b""), Verdict::Refused { .. }), "{status}");
        }
        for status in [301, 408, 429, 500, 502, 503, 504] {
            assert!(matches!(http(status, None, b""), Verdict::Again { .. }), "{status}");
        }
    }

    #[test]
    fn rt_11_7_a_receiver_that_asks_for_time_gets_it() {
        for (text, want) in [
            (None, None),
            (Some("7"), Some(7)),
            (Some(" 120 "), Some(120)),
            (Some("99999999"), Some(3600)),
            (Some("Sun, 29 Nov 2026 02:00:30 GMT"), Some(30)),
            (Some("Sun, 29 Nov 2026 01:00:00 GMT"), Some(0)),
            (Some("soon"), None),
            (Some("-1"), None),
        ] {
            assert_eq!(after(&http(503, text, b"")), want, "{text:?}");
            assert_eq!(after(&http(429, text, b"")), want, "{text:?}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_no_acknowledgement() {
        assert_eq!(http(200, None, b"\xff\xff"), Verdict::again("its answer cannot be read"));
        let page = Bytes::from_static(b"OK");
        let answer = HttpAnswer { status: 200, is_protobuf: false, retry_after: None, body: &page };
        assert_eq!(of_http(answer, 0), Verdict::Taken, "a receiver that says it in its own way");
    }

    #[test]
    fn rt_11_7_rejected_points_are_counted() {
        let part = PartialSuccess { rejected: 3, error_message: "too\nold".into() };
        let body = Exported { partial_success: Some(part) }.encode_to_vec();
        let want = Verdict::Partly { rejected: 3, why: "too old".into() };
        assert_eq!(http(200, None, &body), want);
        let body = Exported { partial_success: Some(PartialSuccess::default()) }.encode_to_vec();
        assert_eq!(http(200, None, &body), Verdict::Taken);
    }

    #[test]
    fn what_a_receiver_says_is_told_as_one_line() {
        let status = Status { message: "no such\u{1b}[2J tenant".into(), ..Status::default() };
        let want = Verdict::Refused { why: "it answered 404: no such [2J tenant".into() };
        assert_eq!(http(404, None, &status.encode_to_vec()), want);
    }

    #[test]
    fn rt_11_7_a_grpc_status_is_judged_by_the_table_of_otlp() {
        for status in [1, 4, 10, 11, 14, 15] {
            assert!(matches!(of_grpc(status, "", None), Verdict::Again { .. }), "{status}");
        }
        for status in [2, 3, 5, 6, 7, 8, 9, 12, 13, 16, 99] {
            assert!(matches!(of_grpc(status, "", None), Verdict::Refused { .. }), "{status}");
        }
        let want = Verdict::Refused { why: "it answered UNAUTHENTICATED: no token".into() };
        assert_eq!(of_grpc(16, "no token", None), want);
    }

    #[test]
    fn rt_11_7_an_exhausted_receiver_says_whether_it_recovers() {
        let info = RetryInfo { retry_delay: Some(Span { seconds: 5, nanos: 500_000_000 }) };
        let url = "type.googleapis.com/google.rpc.RetryInfo".to_owned();
        let detail = Detail { type_url: url, value: info.encode_to_vec() };
        let status = Status { details: vec![detail], ..Status::default() }.encode_to_vec();
        let text = base64(&status);
        for text in [text.trim_end_matches('='), &text] {
            match of_grpc(8, "", Some(text)) {
                Verdict::Again { after, .. } => {
                    assert_eq!(after, Some(Duration::from_millis(5500)));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(of_grpc(8, "", Some("!")), Verdict::Refused { .. }));
    }
}
