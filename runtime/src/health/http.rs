//! One request of HTTP/1.1 and the number it is answered with; everything else is not looked at.

use std::fmt::Write as _;

use schema::launch::StatusSet;

/// How much of an answer is looked at for its number.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The longest first line of an answer.
const LINE_BYTES_MAX: usize = 4096;

/// The ports that a host header leaves out.
const PORT_OF_HTTP: u16 = 80;
const PORT_OF_HTTPS: u16 = 443;

/// Who is asked, if nobody else is named.
const ITSELF: &str = "localhost";

/// A request, and the answers that pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    pub(super) host: Option<String>,
    pub(super) status: StatusSet,
}

impl Request {
    /// Returns the bytes to send: no body, no second request, no redirect followed.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let usual = if self.tls { PORT_OF_HTTPS } else { PORT_OF_HTTP };
        let host = match (&self.host, self.port) {
            (Some(host), _) => host.clone(),
            (None, port) if port == usual => ITSELF.into(),
            (None, port) => format!("{ITSELF}:{port}"),
        };
        let (path, host) = (escaped(&self.path), escaped(&host));
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: msb\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n"
        )
        .into_bytes()
    }

    /// Returns what people know its kind by.
    pub(super) const fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// Returns the name of the server that is meant, without a port.
    pub(super) fn server(&self) -> &str {
        let Some(host) = &self.host else { return ITSELF };
        if let Some((inner, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return inner;
        }
        match host.split_once(':') {
            Some((name, port)) if !port.contains(':') => name,
            _ => host,
        }
    }
}

/// Writes what may not stand in a line of a request as `%XX`.
fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() {
            line.push(char::from(byte));
        } else {
            // A string takes every character.
            write!(line, "%{byte:02X}").ok();
        }
    }
    line
}

/// What came in answer to a request.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// What was not looked at yet.
    pending: Vec<u8>,
    seen: usize,
    /// The head of an interim answer is passed over, to its empty line.
    is_passing: bool,
}

/// What speaks there is no server of HTTP/1, or none that comes to the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoHttp;

impl Reply {
    /// Takes bytes; returns the number of the answer once it is there.
    ///
    /// # Errors
    /// What came is no answer.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Option<u16>, NoHttp> {
        self.pending.extend_from_slice(bytes);
        self.seen += bytes.len();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            let line = line.trim_ascii_end();
            if self.is_passing {
                self.is_passing = !line.is_empty();
                continue;
            }
            match status(line).ok_or(NoHttp)? {
                // More comes after it: `100 Continue`, `103 Early Hints`.
                100..=199 => self.is_passing = true,
                code => return Ok(Some(code)),
            }
        }
        let too_long = self.pending.len() > LINE_BYTES_MAX || self.seen > HEAD_BYTES_MAX;
        if too_long { Err(NoHttp) } else { Ok(None) }
    }
}

/// Returns the number of a first line: `HTTP/1.1 503 Service Unavailable`.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (minor, rest) = rest.split_first()?;
    let (code, rest) = rest.strip_prefix(b" ")?.split_first_chunk::<3>()?;
    let is_whole = rest.first().is_none_or(|byte| *byte == b' ');
    let is_code = minor.is_ascii_digit() && code.iter().all(u8::is_ascii_digit);
    let code: u16 = std::str::from_utf8(code).ok()?.parse().ok()?;
    (is_whole && is_code && (100..600).contains(&code)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, port: u16, host: Option<&str>) -> String {
        let host = host.map(String::from);
        let status = StatusSet::default();
        let request = Request { path: path.into(), port, tls: false, host, status };
        String::from_utf8(request.to_bytes()).unwrap()
    }

    #[test]
    fn a_request_is_one_and_says_whom_it_is_for() {
        let text = request("/healthz?full", 8080, None);
        assert!(text.starts_with("GET /healthz?full HTTP/1.1\r\nHost: localhost:8080\r\n"));
        assert!(text.contains("\r\nConnection: close\r\n") && text.ends_with("\r\n\r\n"));
        assert!(request("/", 80, None).contains("\r\nHost: localhost\r\n"));
        assert!(request("/", 80, Some("shop.example")).contains("\r\nHost: shop.example\r\n"));
        let text = request("/a b\r\nX: y", 80, Some("h\r\nX: z"));
        assert!(text.starts_with("GET /a%20b%0D%0AX:%20y HTTP/1.1\r\nHost: h%0D%0AX:%20z\r\n"));
    }

    #[test]
    fn a_server_is_named_without_its_port_and_443_is_what_nobody_says() {
        let status = StatusSet::default;
        let of = |host: Option<&str>| Request {
            path: "/".into(),
            port: 443,
            tls: true,
            host: host.map(String::from),
            status: status(),
        };
        let text = String::from_utf8(of(None).to_bytes()).unwrap();
        assert!(text.contains("\r\nHost: localhost\r\n"), "{text}");
        for (host, server) in [
            (None, "localhost"),
            (Some("shop.example"), "shop.example"),
            (Some("shop.example:8443"), "shop.example"),
            (Some("[::1]:8443"), "::1"),
            (Some("::1"), "::1"),
        ] {
            assert_eq!(of(host).server(), server);
        }
    }

    /// Gives an answer in pieces of `step` bytes.
    fn answer(bytes: &[u8], step: usize) -> Result<Option<u16>, NoHttp> {
        let mut reply = Reply::default();
        for piece in bytes.chunks(step) {
            if let Some(code) = reply.push(piece)? {
                return Ok(Some(code));
            }
        }
        Ok(None)
    }

    #[test]
    fn the_number_is_found_however_it_comes() {
        let early =
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        for step in 1..=early.len() {
            assert_eq!(answer(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\n\r\n", step), Ok(Some(503)));
            assert_eq!(answer(b"HTTP/1.0 200\n\n", step), Ok(Some(200)));
            assert_eq!(answer(early, step), Ok(Some(204)));
            assert_eq!(answer(b"HTTP/1.1 20", step), Ok(None));
        }
    }

    #[test]
    fn what_is_no_answer_is_told_from_one() {
        for bytes in [
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            b"HTTP/2 200\r\n",
            b"HTTP/1.1 2000 OK\r\n",
            b"HTTP/1.1 099 No\r\n",
            b"HTTP/1.1 +20 No\r\n",
            b"\r\n",
        ] {
            assert_eq!(answer(bytes, 7), Err(NoHttp), "{}", bytes.escape_ascii());
        }
        assert_eq!(answer(&[b'x'; LINE_BYTES_MAX + 1], 100), Err(NoHttp), "a line without end");
        let hints = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(HEAD_BYTES_MAX / 25 + 1);
        assert_eq!(answer(&hints, 1000), Err(NoHttp), "one that never comes to the point");
    }
}
