//! Probes told as words: what is wanted, what the guest says, when the next one is due.

use std::net::{Ipv4Addr, Ipv6Addr};

use schema::launch::{Probe, ProbeKind, StatusSet};
use schema::wire::message::{Error, ErrorCode, Exited, TcpFailed, TcpFailure, TcpOpen, TcpOpened};

use super::*;
use crate::clock::{Clock as _, HostClock};

/// Probes under a hand-turned clock, and what they wanted since they were looked at last.
struct Told {
    probes: Probes,
    start: Instant,
    now: Instant,
    session: u32,
    wants: Vec<Want>,
}

fn told(ready: ProbeKind, health: Option<&launch::Health>) -> Told {
    let ready = Probe { kind: ready, timeout_ms: 60_000 };
    let addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let probes = Probes::new(&ready, health, addresses).unwrap();
    let now = HostClock.now();
    Told { probes, start: now, now, session: 1, wants: Vec::new() }
}

fn check() -> ProbeKind {
    ProbeKind::Exec { argv: vec!["check".into(), "-q".into()] }
}

fn http() -> ProbeKind {
    let status = StatusSet::default();
    ProbeKind::Http { path: "/healthz".into(), port: 8080, tls: false, host: None, status }
}

fn health(kind: ProbeKind, failures: u32, successes: u32) -> launch::Health {
    launch::Health {
        kind,
        interval_ms: 10_000,
        timeout_ms: 3000,
        failures,
        successes,
        on_unhealthy: launch::OnUnhealthy::None,
    }
}

fn exited(code: u8) -> Message {
    let (code, signal) = (Some(code), None);
    Exited { code, signal, core: false, cpu_ms: 0, rss_max_bytes: 0, oom: None }.into()
}

fn refused() -> Message {
    let detail = "Connection refused (os error 111)".into();
    TcpFailed { kind: TcpFailure::Refused, errno: 111, detail }.into()
}

fn opened() -> Message {
    TcpOpened { peer: "127.0.0.1:8080".into() }.into()
}

impl Told {
    /// Does what a supervisor does at once, and keeps the rest to be looked at.
    fn take(&mut self, wants: Vec<Want>) {
        for want in wants {
            if matches!(want, Want::Open(_)) {
                self.session += 1;
                self.probes.opened(self.session);
            }
            self.wants.push(want);
        }
    }

    fn started(mut self) -> Self {
        let wants = self.probes.start(self.now);
        self.take(wants);
        self
    }

    fn ready(mut self) -> Self {
        self.probes.watch(self.now);
        self
    }

    /// Turns the clock to the next deadline; returns how many milliseconds that took.
    fn due(&mut self) -> u128 {
        let at = self.probes.deadline().expect("something is due");
        let waited = at.saturating_duration_since(self.now);
        self.now = self.now.max(at);
        let wants = self.probes.tick(self.now);
        self.take(wants);
        waited.as_millis()
    }

    fn says(&mut self, message: &Message) {
        let wants = self.probes.hear(self.session, message, self.now);
        self.take(wants);
    }

    fn writes(&mut self, bytes: &[u8]) {
        let wants = self.probes.hear_output(self.session, bytes, self.now);
        self.take(wants);
    }

    /// Returns what was wanted since the last time, as words.
    fn wanted(&mut self) -> Vec<String> {
        let words = |want: Want| match want {
            Want::Open(message) => match *message {
                Message::TcpOpen(TcpOpen { host, port }) => format!("open {host} {port}"),
                Message::Exec(exec) => format!("run {}", exec.argv.join(" ")),
                other => panic!("{other:?}"),
            },
            Want::Send(_, bytes) => {
                let text = String::from_utf8(bytes).unwrap();
                format!("send {}", text.lines().next().unwrap())
            }
            Want::Kill(_) => "kill".into(),
            Want::Leave(_) => "leave".into(),
            Want::Show(text) => text,
            Want::Pass => "pass".into(),
            Want::Turn(health, _) => health.as_str().into(),
        };
        self.wants.drain(..).map(words).collect()
    }
}

#[test]
fn sf_h1_probes_come_at_their_cadence_one_at_a_time() {
    let mut told = told(check(), None).started();
    assert_eq!(told.due(), 0, "the first one at once");
    let mut pauses = Vec::new();
    for _ in 0..10 {
        assert_eq!(told.wanted(), ["run check -q"]);
        told.writes(b"not yet\n");
        told.says(&exited(1));
        assert_eq!(told.wanted(), ["exec check: exit 1: not yet"]);
        pauses.push(told.due());
    }
    assert_eq!(pauses, [50, 75, 112, 168, 253, 379, 569, 854, 1000, 1000]);
    told.says(&exited(0));
    assert_eq!(told.wanted(), ["run check -q", "exec check: exit 0", "pass"]);
    assert_eq!(told.probes.deadline(), None);
}

#[test]
fn a_gate_that_was_missed_is_asked_every_ten_seconds() {
    let mut told = told(check(), None).started();
    told.due();
    told.probes.stall();
    told.says(&exited(1));
    assert_eq!(told.due(), 10_000);
}

#[test]
fn a_command_that_hangs_is_killed_and_its_end_is_the_answer() {
    let mut told = told(check(), None).started();
    told.due();
    assert_eq!(told.due(), 10_000);
    assert_eq!(told.due(), 10_000);
    assert_eq!(told.wanted(), ["run check -q", "kill", "kill"]);
    told.writes(b"waiting\n");
    told.says(&exited(0));
    assert_eq!(told.wanted(), ["exec check: no end within 10s: waiting"]);
}

#[test]
fn a_probe_whose_session_is_reset_is_asked_again() {
    let mut told = told(check(), None).started();
    told.due();
    let other = told.probes.hear_reset(9, told.now);
    assert_eq!(other, [], "another session");
    let wants = told.probes.hear_reset(told.session, told.now);
    told.take(wants);
    told.due();
    let reset = "exec check: the agent gave up the probe's session";
    assert_eq!(told.wanted(), ["run check -q", reset, "run check -q"]);
}

#[test]
fn a_line_of_the_workload_opens_the_gate_even_when_it_came_early() {
    let kind = || ProbeKind::Log { pattern: "^ready to".into() };
    let mut late = told(kind(), None).started();
    assert_eq!(late.probes.hear_main(1, b"getting ready to\nrea"), []);
    assert_eq!(late.probes.hear_output(9, b"dy to serve\n", late.now), [], "another session");
    let passed = [Want::Show("a line of the workload matched".into()), Want::Pass];
    assert_eq!(late.probes.hear_main(1, b"dy to serve\n"), passed);
    let mut early = told(kind(), None);
    assert_eq!(early.probes.hear_main(0, b"ready to serve\n"), []);
    assert_eq!(early.started().wants, [Want::Pass]);
    let mut never = told(kind(), None).started();
    let said = "log ^ready to: no line matched".into();
    assert_eq!(never.probes.stall(), [Want::Show(said)]);
}

#[test]
fn rt_10_12_a_port_is_asked_at_each_loopback_in_turn() {
    let mut told = told(ProbeKind::Tcp { port: 5432 }, None).started();
    told.due();
    told.says(&refused());
    let gone = TcpFailed { kind: TcpFailure::Unreachable, errno: 99, detail: String::new() };
    told.says(&gone.into());
    let asked = ["open 127.0.0.1 5432", "open ::1 5432"];
    assert_eq!(told.wanted(), [&asked[..], &["tcp 5432: connection refused"]].concat());
    assert_eq!(told.due(), 50);
    told.says(&refused());
    told.says(&opened());
    let passed = ["leave", "tcp 5432: it accepts", "pass"];
    assert_eq!(told.wanted(), [&asked[..], &passed].concat());
}

#[test]
fn a_port_that_does_not_answer_is_left_when_time_is_over() {
    let mut told = told(ProbeKind::Tcp { port: 5432 }, None).started();
    told.due();
    assert_eq!(told.due(), 10_000);
    let said = "tcp 5432: no answer within 10s";
    assert_eq!(told.wanted(), ["open 127.0.0.1 5432", "leave", said]);
    assert_eq!(told.due(), 50);
}

#[test]
fn an_agent_that_cannot_connect_says_so_and_nothing_else_is_hurt() {
    let mut told = told(ProbeKind::Tcp { port: 5432 }, None).started();
    told.due();
    told.says(&Error::new(ErrorCode::Unsupported, "no message has the number 0x0300").into());
    let said = "tcp 5432: the guest's agent cannot ask this (agent::unsupported)";
    assert_eq!(told.wanted(), ["open 127.0.0.1 5432", said]);
    let mut told = told_of_an_older_agent();
    assert_eq!(told.wanted(), ["open 127.0.0.1 5432", "tcp 5432: TcpOpen needs generation 1"]);
}

fn told_of_an_older_agent() -> Told {
    let mut told = told(ProbeKind::Tcp { port: 5432 }, None).started();
    told.due();
    let wants = told.probes.refused("TcpOpen needs generation 1", told.now);
    told.take(wants);
    told
}

#[test]
fn rt_10_12_a_request_is_answered_by_its_number() {
    let mut told = told(http(), None).started();
    told.due();
    told.says(&opened());
    told.writes(b"HTTP/1.1 5");
    told.writes(b"03 Service Unavailable\r\n\r\n");
    let asked = ["open 127.0.0.1 8080", "send GET /healthz HTTP/1.1"];
    assert_eq!(told.wanted(), [&asked[..], &["http /healthz: 503"]].concat());
    // The next one does not wait for the end of the last, which is left then.
    assert_eq!(told.due(), 50);
    told.says(&opened());
    told.writes(b"HTTP/1.1 204 No Content\r\n");
    let passed = ["http /healthz: 204", "pass"];
    assert_eq!(told.wanted(), [&["leave"], &asked[..], &passed].concat());
    // What is left of the answer is read to its end, or as much and as long as is fair.
    told.writes(b"\r\n");
    assert_eq!(told.wanted(), [""; 0]);
    assert_eq!(told.due(), 1000);
    assert_eq!(told.wanted(), ["leave"]);
    assert_eq!(told.probes.deadline(), None);
}

#[test]
fn the_rest_of_an_answer_is_left_at_its_end_or_beyond_64_kib() {
    for is_long in [false, true] {
        let mut told = told(http(), None).started();
        told.due();
        told.says(&opened());
        told.writes(b"HTTP/1.1 200 OK\r\n");
        told.wanted();
        if is_long {
            told.writes(&[0; LINGER_BYTES_MAX - 1]);
            assert_eq!(told.wanted(), [""; 0]);
            told.writes(b"x");
        } else {
            let wants = told.probes.hear_end(told.session, told.now);
            told.take(wants);
        }
        assert_eq!(told.wanted(), ["leave"]);
    }
}

/// Something that is heard of a probe.
type Answer = fn(&mut Told);

#[test]
fn what_is_no_answer_is_told_by_name() {
    let answers: [(&str, Answer); 3] = [
        ("what answers does not speak HTTP/1", |told| told.writes(b"220 mail ESMTP\r\n")),
        ("the connection was closed without an answer", |told| {
            let wants = told.probes.hear_end(told.session, told.now);
            told.take(wants);
        }),
        ("no answer within 10s", |told| assert_eq!(told.due(), 10_000)),
    ];
    for (why, answer) in answers {
        let mut told = told(http(), None).started();
        told.due();
        told.says(&opened());
        told.wanted();
        answer(&mut told);
        assert!(told.wanted().contains(&format!("http /healthz: {why}")), "{why}");
    }
}

/// Lets the next probe of health end so; returns what it led to.
fn beat(told: &mut Told, code: u8) -> Vec<String> {
    told.due();
    told.says(&exited(code));
    let wanted = told.wanted();
    assert_eq!(wanted[0], "run check -q");
    wanted[2..].to_vec()
}

#[test]
fn health_turns_after_so_many_in_a_row_and_not_before() {
    let mut told = told(ProbeKind::Agent, Some(&health(check(), 3, 2))).started();
    assert_eq!(told.wanted(), ["pass"]);
    assert_eq!(told.probes.deadline(), None, "nobody asks before the gate has passed");
    let mut told = told.ready();
    let none = [""; 0];
    assert_eq!(beat(&mut told, 0), none);
    assert_eq!(beat(&mut told, 0), ["passing"]);
    for code in [1, 1, 0, 1, 1] {
        assert_eq!(beat(&mut told, code), none);
    }
    assert_eq!(beat(&mut told, 1), ["failing"]);
    for code in [1, 0, 1, 0] {
        assert_eq!(beat(&mut told, code), none);
    }
    assert_eq!(beat(&mut told, 0), ["passing"]);
    let tenths = (told.now - told.start).as_secs();
    assert_eq!(tenths, 120, "one every ten seconds, from start to start");
}

#[test]
fn a_probe_of_health_is_over_at_its_own_timeout() {
    let mut told = told(ProbeKind::Agent, Some(&health(http(), 1, 1))).started().ready();
    told.due();
    told.says(&opened());
    assert_eq!(told.due(), 3000);
    told.wanted();
    assert_eq!(told.due(), 7000);
    told.says(&refused());
    told.says(&refused());
    let asked = ["open 127.0.0.1 8080", "open ::1 8080"];
    assert_eq!(told.wanted(), [&asked[..], &["http /healthz: connection refused"]].concat());
}

#[test]
fn another_health_begins_to_count_anew() {
    let mut told = told(ProbeKind::Agent, Some(&health(check(), 2, 1))).started().ready();
    told.wanted();
    beat(&mut told, 1);
    assert_eq!(beat(&mut told, 1), ["failing"]);
    // It stays as it is known until the new one says otherwise.
    let wants = told.probes.change(Some(&health(check(), 9, 1)), true, told.now);
    assert_eq!(wants, []);
    assert_eq!(beat(&mut told, 0), ["passing"]);
    told.due();
    let wants = told.probes.change(None, true, told.now);
    assert_eq!(wants, [Want::Leave(told.session), Want::Turn(Health::None, None)]);
    assert_eq!(told.probes.deadline(), None);
    let wants = told.probes.change(Some(&health(check(), 2, 1)), true, told.now);
    assert_eq!(wants, [Want::Turn(Health::Starting, None)]);
    told.wanted();
    assert_eq!(beat(&mut told, 1), [""; 0]);
    told.probes.close();
    assert_eq!(told.probes.change(Some(&health(check(), 2, 1)), true, told.now), []);
    assert_eq!(told.probes.deadline(), None, "a machine that ends is asked nothing more");
}
