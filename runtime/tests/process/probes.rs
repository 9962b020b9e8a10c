//! Probes against real listeners: the agent is a child, so its loopback is the test's.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use schema::control::{Answer, Call, HealthWish, Milestone, Reply, Update};
use schema::event::What;
use schema::launch::{Health, OnUnhealthy, ProbeKind};
use schema::lifecycle::Phase;
use schema::record;
use schema::wire::message::{Done, TcpFailure, TcpOpen};
use schema::wire::{Frame, Message};

use crate::house::{House, launch};
use crate::relay::Client;

const SLEEP: &[&str] = &["sleep", "1000"];

/// A certificate of somebody else, by nobody, and over since 2020.
const CERTIFICATE: &[u8] = include_bytes!("../../../tests/fixtures/elsewhere.crt");
const KEY: &[u8] = include_bytes!("../../../tests/fixtures/elsewhere.key");

/// Answers every connection with the status that stands in it, and counts nothing else.
struct Server {
    port: u16,
    /// The certificate that it speaks TLS with.
    tls: Option<Arc<ServerConfig>>,
    status: Arc<AtomicU16>,
}

impl Server {
    fn with(status: u16) -> Self {
        Self::speaking(status, None)
    }

    fn with_tls(status: u16) -> Self {
        let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        Self::speaking(status, Some(Arc::new(config.unwrap())))
    }

    fn speaking(status: u16, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let status = Arc::new(AtomicU16::new(status));
        let (now, config) = (Arc::clone(&status), tls.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let status = now.load(Ordering::SeqCst);
                // One that left before it was answered is no fault of a server.
                match &config {
                    None => reply(stream, status).ok(),
                    Some(config) => {
                        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                        reply(StreamOwned::new(connection, stream), status).ok()
                    }
                };
            }
        });
        Self { port, tls, status }
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn probe(&self) -> ProbeKind {
        let status = "200".to_owned().try_into().unwrap();
        let tls = self.tls.is_some();
        ProbeKind::Http { path: "/healthz".into(), port: self.port, tls, host: None, status }
    }

    fn health(&self) -> Health {
        let kind = self.probe();
        Health {
            kind,
            interval_ms: 20,
            timeout_ms: 2000,
            failures: 2,
            successes: 2,
            on_unhealthy: OnUnhealthy::None,
        }
    }
}

fn reply(mut stream: impl Read + Write, status: u16) -> std::io::Result<()> {
    let (mut request, mut bytes) = (Vec::new(), [0; 512]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&bytes[..count]),
        }
    }
    assert!(request.starts_with(b"GET /healthz HTTP/1.1\r\nHost: localhost:"), "{request:?}");
    let body = "x".repeat(100_000);
    write!(stream, "HTTP/1.1 {status} Any\r\nContent-Type: text/plain\r\n\r\n{body}")
}

/// Returns the last answer of a probe.
fn last_probe(house: &House) -> Option<String> {
    let Answer::Ok { result: Reply::Status { last_probe, .. }, .. } =
        house.control().call(Call::Status {})
    else {
        panic!("no status");
    };
    last_probe
}

/// Waits until the last answer of a probe is one that is waited for.
fn probed(house: &House, is_it: impl Fn(&Option<String>) -> bool) {
    let asked = (0..100_000).find(|_| is_it(&last_probe(house)));
    assert!(asked.is_some(), "{}", house.log());
}

/// Reads events until one of them is what is waited for; returns those of phase and health.
fn events_until(control: &mut crate::house::Control, last: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let Some(Answer::Event { event }) = control.answer() else { panic!("the end; {seen:?}") };
        let word = match event.what {
            What::Phase { to, .. } => to.as_str().to_owned(),
            What::Health { to, reason, .. } => match reason {
                Some(reason) => format!("{}: {reason}", to.as_str()),
                None => to.as_str().to_owned(),
            },
            _ => continue,
        };
        let is_last = word == last;
        seen.push(word);
        if is_last {
            return seen;
        }
    }
}

#[test]
fn rt_10_12_a_tcp_gate_opens_when_somebody_listens_on_either_loopback() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    for address in
        [SocketAddr::from((Ipv4Addr::LOCALHOST, free)), (Ipv6Addr::LOCALHOST, free).into()]
    {
        let mut record = launch(Some(SLEEP));
        record.ready.kind = ProbeKind::Tcp { port: free };
        record.ready.timeout_ms = 20_000;
        let mut house = House::serving(&record);
        assert!(house.wait(Milestone::Running));
        let refused = Some(format!("tcp {free}: connection refused"));
        probed(&house, |answer| *answer == refused);
        assert_eq!(house.record().phase, Phase::Starting);
        let listener = TcpListener::bind(address).unwrap();
        assert!(house.wait(Milestone::Ready), "{}", house.log());
        assert_eq!(last_probe(&house), Some(format!("tcp {free}: it accepts")));
        drop(listener);
        house.stop();
    }
}

#[test]
fn an_http_gate_opens_by_the_answer_and_a_missed_one_names_it() {
    let server = Server::with(503);
    let mut record = launch(Some(SLEEP));
    record.ready.kind = server.probe();
    record.ready.timeout_ms = 500;
    let mut house = House::serving(&record);
    assert!(!house.wait(Milestone::Ready));
    assert_eq!(house.phase(), "Stalled(not-ready)");
    assert_eq!(last_probe(&house).as_deref(), Some("http /healthz: 503"));
    house.stop();
    record.ready.timeout_ms = 20_000;
    let mut house = House::serving(&record);
    assert!(house.wait(Milestone::Running));
    probed(&house, Option::is_some);
    server.answers(200);
    assert!(house.wait(Milestone::Ready), "{}", house.log());
    house.stop();
}

#[test]
fn rt_10_12_an_https_gate_asks_through_tls_whoever_answers() {
    let server = Server::with_tls(503);
    let mut record = launch(Some(SLEEP));
    record.ready.kind = server.probe();
    record.ready.timeout_ms = 20_000;
    let mut house = House::serving(&record);
    assert!(house.wait(Milestone::Running));
    probed(&house, |answer| answer.as_deref() == Some("https /healthz: 503"));
    server.answers(200);
    assert!(house.wait(Milestone::Ready), "{}", house.log());
    assert_eq!(last_probe(&house).as_deref(), Some("https /healthz: 200"));
    house.stop();
}

#[test]
fn an_https_gate_names_what_does_not_speak_tls() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut record = launch(Some(SLEEP));
    record.ready.kind = ProbeKind::Http {
        path: "/".into(),
        port: listener.local_addr().unwrap().port(),
        tls: true,
        host: None,
        status: "200".to_owned().try_into().unwrap(),
    };
    record.ready.timeout_ms = 20_000;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            stream.and_then(|mut stream| stream.write_all(b"220 mail ESMTP\r\n")).ok();
        }
    });
    let mut house = House::serving(&record);
    let said = "https /: no TLS with what answers: ";
    probed(&house, |answer| answer.as_ref().is_some_and(|answer| answer.starts_with(said)));
    house.stop();
}

#[test]
fn health_degrades_a_machine_and_brings_it_back_and_is_over_with_it() {
    let server = Server::with(200);
    let mut record = launch(Some(SLEEP));
    record.health = Some(server.health());
    let mut house = House::serving(&record);
    let mut control = house.control();
    control.call(Call::Subscribe { after: Some(0) });
    assert!(house.wait(Milestone::Healthy), "{}", house.log());
    assert_eq!(house.record().health, record::Health::Passing);
    let passing = "passing: http /healthz: 200";
    assert_eq!(events_until(&mut control, passing), ["Starting", "Ready", passing]);
    server.answers(500);
    let failing = "failing: http /healthz: 500";
    assert_eq!(events_until(&mut control, "Degraded"), [failing, "Degraded"]);
    assert_eq!(house.record().health, record::Health::Failing);
    server.answers(200);
    assert_eq!(events_until(&mut control, "Ready"), [passing, "Ready"]);
    assert!(house.wait(Milestone::Healthy));
    house.stop();
    assert_eq!(house.record().health, record::Health::None);
}

#[test]
fn health_is_changed_while_the_machine_runs() {
    let server = Server::with(500);
    let mut house = House::serving(&launch(Some(SLEEP)));
    assert!(house.wait(Milestone::Healthy), "nobody asks: ready is enough");
    let mut events = house.control();
    events.call(Call::Subscribe { after: None });
    let change = |health| {
        let update = Update { health: Some(health), ..Update::default() };
        let Answer::Ok { result: Reply::Updated { applied, refused }, .. } =
            house.control().call(Call::Update(update))
        else {
            panic!("not updated");
        };
        assert_eq!((applied, refused), (vec!["health".to_owned()], vec![]));
    };
    change(HealthWish::Asked(Box::new(server.health())));
    let failing = "failing: http /healthz: 500";
    assert_eq!(events_until(&mut events, "Degraded"), ["starting", failing, "Degraded"]);
    change(HealthWish::Unasked);
    assert_eq!(events_until(&mut events, "Ready"), ["none", "Ready"]);
    assert_eq!(house.record().health, record::Health::None);
    house.stop();
}

#[test]
fn a_probe_of_health_is_killed_at_its_timeout() {
    let mut record = launch(Some(SLEEP));
    let argv = ["sh", "-c", "echo hangs; exec sleep 1000"].map(String::from).to_vec();
    let kind = ProbeKind::Exec { argv };
    record.health = Some(Health {
        kind,
        interval_ms: 10,
        timeout_ms: 100,
        failures: 1,
        successes: 1,
        on_unhealthy: OnUnhealthy::None,
    });
    let mut house = House::serving(&record);
    let mut control = house.control();
    control.call(Call::Subscribe { after: Some(0) });
    let seen = events_until(&mut control, "Degraded");
    let why = "failing: exec sh: no end within 100ms: hangs";
    assert_eq!(seen, ["Starting", "Ready", why, "Degraded"]);
    house.stop();
}

/// Returns the messages of a session up to one that is waited for, and the bytes on the way.
fn until(
    client: &mut Client,
    id: u32,
    is_last: impl Fn(&Frame) -> bool,
) -> (Vec<Message>, Vec<u8>) {
    let (mut messages, mut bytes) = (Vec::new(), Vec::new());
    loop {
        let frame = client.frame().expect("the channel goes on");
        assert_eq!(frame.session, id);
        let is_over = is_last(&frame);
        match frame.kind {
            schema::wire::Kind::Message => {
                messages.push(Message::decode(frame.code, &frame.payload).unwrap());
            }
            schema::wire::Kind::Data => bytes.extend(frame.payload),
            schema::wire::Kind::Credit | schema::wire::Kind::Reset => {}
        }
        if is_over {
            return (messages, bytes);
        }
    }
}

fn is_done(frame: &Frame) -> bool {
    matches!(Message::decode(frame.code, &frame.payload), Ok(Message::Done(_)))
}

#[test]
fn rt_5_10_a_connection_carries_both_ways_and_each_ends_for_itself() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = String::new();
        stream.read_to_string(&mut question).unwrap();
        // More than is granted from the start.
        write!(stream, "{question}{}", "y".repeat(300_000)).unwrap();
    });
    let mut house = House::serving(&launch(None));
    assert!(house.wait(Milestone::Ready));
    let mut client = Client::connect(&house);
    let id = client.open_with(TcpOpen { host: "127.0.0.1".into(), port });
    client.send(&Frame::data(id, 0, b"who?"));
    client.send(&Frame::end(id, 0));
    client.send(&Frame::credit(id, 0, 500_000));
    let (messages, bytes) = until(&mut client, id, is_done);
    assert!(
        matches!(&messages[0], Message::TcpOpened(opened) if opened.peer.ends_with(&port.to_string()))
    );
    assert_eq!(bytes.len(), 300_004);
    assert!(bytes.starts_with(b"who?y"));
    client.send(&Message::Done(Done {}).to_frame(id));
    server.join().unwrap();
    // The listener went with the thread, and what is no address is not looked up.
    for (host, kind) in [("127.0.0.1", TcpFailure::Refused), ("localhost", TcpFailure::Name)] {
        let id = client.open_with(TcpOpen { host: host.into(), port });
        let (messages, _) = until(&mut client, id, is_done);
        let [Message::TcpFailed(failed), Message::Done(_)] = &messages[..] else {
            panic!("{messages:?}");
        };
        assert_eq!(failed.kind, kind, "{failed:?}");
        client.send(&Message::Done(Done {}).to_frame(id));
    }
    house.stop();
}

#[test]
fn a_connection_is_closed_with_its_client_and_keeps_no_machine_waiting() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut house = House::serving(&launch(None));
    assert!(house.wait(Milestone::Ready));
    let mut streams = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(&house);
        client.open_with(TcpOpen { host: "127.0.0.1".into(), port });
        streams.push(listener.accept().unwrap().0);
        clients.push(client);
    }
    drop(clients.pop());
    let mut gone = streams.pop().unwrap();
    assert_eq!(gone.read(&mut [0; 8]).unwrap(), 0, "it is closed");
    // The other one is open and says nothing, for as long as it likes.
    house.stop();
    assert!(!house.record().forced, "{}", house.log());
}
