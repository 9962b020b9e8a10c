//! One probe from the question to the answer.
//!
//! ```text
//! exec ─ Exec ─▶ Exited ───────────────────────────────▶ answer
//! tcp  ─ TcpOpen 127.0.0.1 ─▶ TcpFailed ─ TcpOpen ::1 … ▶ answer
//! http ─ as tcp ─▶ TcpOpened ─ request ─▶ first line ───▶ answer    (both through TLS, if asked)
//! ```
//!
//! All of it is asked from inside the guest, by sessions of the runtime's own, so it
//! is nobody's traffic: it passes no device and counts as no use of the machine.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use schema::launch::ProbeKind;
use schema::wire::Message;
use schema::wire::message::{
    ErrorCode, Exec, Exited, OnGone, StdinMode, TcpFailed, TcpFailure, TcpOpen,
};

use super::http::{Reply, Request};
use super::tls::Tls;
use super::{Answer, Want};

/// How much of a probe's output is kept.
const OUTPUT_BYTES_MAX: usize = 512;

/// When a command that was killed and lives on is killed again.
const KILL_AGAIN: Duration = Duration::from_secs(10);

/// Something that can be asked again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    Exec { argv: Vec<String> },
    Tcp { port: u16 },
    Http(Request),
}

impl Question {
    /// Returns what a probe asks; `None` where nothing is asked, only waited for.
    pub(super) fn of(kind: &ProbeKind) -> Option<Self> {
        match kind {
            ProbeKind::Agent | ProbeKind::Log { .. } => None,
            ProbeKind::Exec { argv } => Some(Self::Exec { argv: argv.clone() }),
            ProbeKind::Tcp { port } => Some(Self::Tcp { port: *port }),
            ProbeKind::Http { path, port, tls, host, status } => {
                let (path, host, status) = (path.clone(), host.clone(), status.clone());
                Some(Self::Http(Request { path, port: *port, tls: *tls, host, status }))
            }
        }
    }

    /// Returns what people know it by: `tcp 5432`.
    fn name(&self) -> String {
        match self {
            Self::Exec { argv } => format!("exec {}", argv.first().map_or("", String::as_str)),
            Self::Tcp { port } => format!("tcp {port}"),
            Self::Http(request) => format!("{} {}", request.scheme(), request.path),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Run {
    name: String,
    /// Absent until the session is open.
    session: Option<u32>,
    timeout: Duration,
    until: Instant,
    asking: Asking,
}

#[derive(Debug)]
enum Asking {
    /// A command runs.
    Exec { output: Vec<u8>, was_killed: bool },
    /// A connection is made; what follows it is the request of `http`.
    Connect { port: u16, rest: VecDeque<IpAddr>, first: Option<String>, then: Option<Request> },
    /// A request was sent.
    Reply { request: Request, reply: Reply, tls: Option<Box<Tls>> },
}

impl Run {
    /// Begins to ask; connections are tried to `addresses` in turn.
    pub(super) fn begin(
        question: &Question,
        addresses: &[IpAddr],
        timeout: Duration,
        now: Instant,
    ) -> (Self, Message) {
        let mut rest: VecDeque<IpAddr> = addresses.iter().copied().collect();
        let host = rest.pop_front().map(|address| address.to_string()).unwrap_or_default();
        let mut connect = |port, then| {
            let (rest, host) = (std::mem::take(&mut rest), host.clone());
            (Asking::Connect { port, rest, first: None, then }, TcpOpen { host, port }.into())
        };
        let (asking, message) = match question {
            Question::Exec { argv } => {
                (Asking::Exec { output: Vec::new(), was_killed: false }, exec(argv).into())
            }
            Question::Tcp { port } => connect(*port, None),
            Question::Http(request) => connect(request.port, Some(request.clone())),
        };
        let (name, until) = (question.name(), now + timeout);
        (Self { name, session: None, timeout, until, asking }, message)
    }

    /// Takes the session that was opened for it.
    pub(super) const fn opened(&mut self, session: u32) {
        self.session = Some(session);
    }

    /// Returns its session, while one is open.
    pub(super) const fn session(&self) -> Option<u32> {
        self.session
    }

    /// Tells whether a session is this probe's.
    pub(super) fn is_in(&self, session: u32) -> bool {
        self.session == Some(session)
    }

    /// Returns when it is overdue.
    pub(super) const fn until(&self) -> Instant {
        self.until
    }

    /// Returns the answer of a probe that could not be asked, or is given up.
    pub(super) fn missed(&self, why: &str) -> Answer {
        Answer { passed: false, text: format!("{}: {why}", self.name) }
    }

    /// Does what is due when it took too long.
    pub(super) fn overdue(&mut self, now: Instant, wants: &mut Vec<Want>) -> Option<Answer> {
        let session = self.session?;
        match &mut self.asking {
            Asking::Exec { was_killed, .. } => {
                // Its end is the answer; asked again only if the kill itself is not answered.
                *was_killed = true;
                self.until = now + KILL_AGAIN;
                wants.push(Want::Kill(session));
                None
            }
            Asking::Connect { .. } | Asking::Reply { .. } => {
                wants.push(Want::Leave(session));
                Some(self.missed(&format!("no answer within {}", seconds(self.timeout))))
            }
        }
    }

    /// Takes what was said in its session.
    pub(super) fn hear(&mut self, message: &Message, wants: &mut Vec<Want>) -> Option<Answer> {
        match message {
            Message::Exited(exited) => self.hear_exit(exited),
            Message::ExecFailed(failed) => {
                Some(self.missed(&format!("cannot run: {}", failed.detail)))
            }
            Message::TcpOpened(_) => self.hear_open(wants),
            Message::TcpFailed(failed) => self.hear_failure(failed, wants),
            Message::Error(error) if error.code == ErrorCode::Unsupported => {
                let why = "the guest's agent cannot ask this (agent::unsupported)";
                Some(self.missed(why))
            }
            Message::Error(error) => Some(self.missed(&error.message)),
            _ => None,
        }
    }

    /// Takes what came in its session.
    pub(super) fn hear_output(&mut self, bytes: &[u8], wants: &mut Vec<Want>) -> Option<Answer> {
        let session = self.session?;
        match &mut self.asking {
            Asking::Exec { output, .. } => {
                output.extend_from_slice(bytes);
                let excess = output.len().saturating_sub(OUTPUT_BYTES_MAX);
                output.drain(..excess);
                None
            }
            Asking::Connect { .. } => None,
            Asking::Reply { request, reply, tls } => {
                let opened = match tls {
                    None => Ok(reply.push(bytes)),
                    Some(tls) => {
                        let plain = tls.hear(bytes);
                        // Also what says why the conversation is over.
                        let more = tls.outgoing();
                        wants.extend((!more.is_empty()).then_some(Want::Send(session, more)));
                        plain.map(|plain| reply.push(&plain))
                    }
                };
                match opened {
                    Ok(Ok(None)) => None,
                    Ok(Ok(Some(code))) => {
                        let passed = request.status.has(code);
                        Some(Answer { passed, text: format!("{}: {code}", self.name) })
                    }
                    Ok(Err(_)) => Some(self.missed("what answers does not speak HTTP/1")),
                    Err(error) => Some(self.missed(&format!("no TLS with what answers: {error}"))),
                }
            }
        }
    }

    /// Takes note that nothing more comes in its session.
    pub(super) fn hear_end(&self) -> Option<Answer> {
        let waits = matches!(self.asking, Asking::Reply { .. });
        waits.then(|| self.missed("the connection was closed without an answer"))
    }

    fn hear_exit(&self, exited: &Exited) -> Option<Answer> {
        let Asking::Exec { output, was_killed } = &self.asking else { return None };
        let how = match (exited.code, exited.signal) {
            _ if *was_killed => format!("no end within {}", seconds(self.timeout)),
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or(0)),
        };
        if exited.code == Some(0) && !was_killed {
            return Some(Answer { passed: true, ..self.missed(&how) });
        }
        let text = String::from_utf8_lossy(output).trim().to_owned();
        Some(self.missed(&if text.is_empty() { how } else { format!("{how}: {text}") }))
    }

    fn hear_open(&mut self, wants: &mut Vec<Want>) -> Option<Answer> {
        let session = self.session?;
        let Asking::Connect { then, .. } = &mut self.asking else { return None };
        let Some(request) = then.take() else {
            wants.push(Want::Leave(session));
            return Some(Answer { passed: true, ..self.missed("it accepts") });
        };
        let (bytes, tls) = match opening(&request) {
            Ok(opening) => opening,
            Err(error) => {
                wants.push(Want::Leave(session));
                return Some(self.missed(&format!("cannot speak TLS: {error}")));
            }
        };
        wants.push(Want::Send(session, bytes));
        self.asking = Asking::Reply { request, reply: Reply::default(), tls };
        None
    }

    /// Nobody is there: the next address is tried, and the first failure is the one to tell.
    fn hear_failure(&mut self, failed: &TcpFailed, wants: &mut Vec<Want>) -> Option<Answer> {
        let Asking::Connect { port, rest, first, .. } = &mut self.asking else { return None };
        let why = first.get_or_insert_with(|| words(failed));
        if let Some(address) = rest.pop_front() {
            let open = TcpOpen { host: address.to_string(), port: *port };
            self.session = None;
            wants.push(Want::Open(Box::new(open.into())));
            return None;
        }
        let why = why.clone();
        Some(self.missed(&why))
    }
}

/// Returns the first bytes to send, and the conversation that they open.
fn opening(request: &Request) -> Result<(Vec<u8>, Option<Box<Tls>>), rustls::Error> {
    if !request.tls {
        return Ok((request.to_bytes(), None));
    }
    let mut tls = Tls::begin(request.server())?;
    tls.say(&request.to_bytes())?;
    Ok((tls.outgoing(), Some(Box::new(tls))))
}

fn words(failed: &TcpFailed) -> String {
    match failed.kind {
        TcpFailure::Refused => "connection refused".into(),
        TcpFailure::Unreachable => "no way to there".into(),
        TcpFailure::Timeout => "no answer".into(),
        TcpFailure::Denied => "the guest does not allow it".into(),
        TcpFailure::Name | TcpFailure::Other => failed.detail.clone(),
    }
}

fn seconds(time: Duration) -> String {
    let ms = time.as_millis();
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

fn exec(argv: &[String]) -> Exec {
    Exec {
        argv: argv.to_vec(),
        env: Vec::new(),
        cwd: None,
        user: None,
        tty: None,
        stdin: StdinMode::None,
        rlimits: Vec::new(),
        on_gone: OnGone::Kill,
        log: false,
        name: Some("probe".into()),
    }
}
