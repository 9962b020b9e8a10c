//! A network with a guest that is a stack of its own, and a host that is this one.

mod fragments;
mod guest;
mod limits;
mod outlook;
mod short;
mod siblings;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use schema::launch::{HostPort, Link, Publish};
use schema::project::network::{Network, Preset, Rule, RuleParts, Target};
use schema::project::{PublishedPort, Transport};
use schema::record::Bound;
use smoltcp::socket::tcp::State;

use super::addresses::{GATEWAY, GATEWAY6};
use super::command::Command;
use super::listen::Listener;
use guest::Guest;

/// A policy of such rules.
fn policy(preset: Preset, allowed: &[&str]) -> Network {
    let mut network = Network { preset, ..Network::default() };
    for target in allowed {
        let parts = RuleParts::allow(Target::parse(target).unwrap());
        network.rules.push(Rule::new(parts).unwrap());
    }
    network
}

/// The host's own ports may be called.
fn hosts() -> Network {
    policy(Preset::None, &["host"])
}

fn gateway(port: u16) -> SocketAddr {
    SocketAddr::from((GATEWAY, port))
}

/// A host that sends back what it hears, until it hears no more.
fn echo(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut copy = stream.try_clone().unwrap();
                std::io::copy(&mut copy, &mut stream).ok();
                stream.shutdown(std::net::Shutdown::Write).ok();
            });
        }
    });
}

/// A host that sends back each datagram; returns its port.
fn echo_datagrams() -> u16 {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut bytes = vec![0; 65_536];
        while let Ok((count, from)) = server.recv_from(&mut bytes) {
            server.send_to(&bytes[..count], from).ok();
        }
    });
    port
}

fn listening() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn rt_9_5_a_guest_speaks_with_a_server_and_each_side_ends_for_itself() {
    let (listener, port) = listening();
    echo(listener);
    let mut guest = Guest::new(hosts(), Vec::new());
    let data: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let call = guest.connect(gateway(port));
    guest.until("the call is answered", |guest| guest.state(call) == State::Established);
    let (mut sent, mut came) = (0, Vec::new());
    guest.until("everything came back", |guest| {
        sent += guest.send(call, &data[sent..]);
        if sent == data.len() {
            guest.close(call);
        }
        guest.receive(call, &mut came);
        came.len() == data.len()
    });
    assert!(came == data);
    guest.until("both have ended", |guest| guest.figures().connections == 0);
}

#[test]
fn rt_9_5_a_call_says_the_truth() {
    let (listener, taken) = listening();
    drop(listener);
    let mut guest = Guest::new(hosts(), Vec::new());
    let refused = guest.connect(gateway(taken));
    guest.until("the refusal came", |guest| guest.state(refused) == State::Closed);
    let denied = guest.connect(SocketAddr::from(([203, 0, 114, 1], 80)));
    guest.until("the denial came", |guest| guest.state(denied) == State::Closed);
    let figures = guest.figures();
    assert_eq!((figures.connections, figures.denied.values().sum::<u64>()), (0, 1));
}

#[test]
fn rt_9_3_a_slow_server_stalls_nobody_else() {
    let (slow, slow_port) = listening();
    let (listener, port) = listening();
    echo(listener);
    let mut guest = Guest::new(hosts(), Vec::new());
    let stuck = guest.connect(gateway(slow_port));
    guest.until("the slow one answers", |guest| guest.state(stuck) == State::Established);
    let held = slow.accept().unwrap();
    let block = vec![7; 1 << 20];
    let mut idle = 0;
    guest.until("the slow one takes no more", |guest| {
        idle = if guest.send(stuck, &block) == 0 { idle + 1 } else { 0 };
        idle > 50
    });
    let call = guest.connect(gateway(port));
    let mut came = Vec::new();
    guest.until("the other one answers", |guest| guest.state(call) == State::Established);
    guest.send(call, b"hello");
    guest.until("the other one goes on", |guest| {
        guest.receive(call, &mut came);
        came == b"hello"
    });
    // What it took and never read is lost with it, and the guest hears of that.
    drop(held);
    guest.until("the reset came", |guest| guest.state(stuck) == State::Closed);
    assert_eq!(guest.figures().connections, 1);
}

#[test]
fn rt_9_9_a_published_port_leads_to_the_guest() {
    let listener = Listener::bind(Transport::Tcp, "127.0.0.1:0".parse().unwrap(), 8080).unwrap();
    let bound = at(&listener.record());
    let mut guest = Guest::new(policy(Preset::None, &[]), vec![listener]);
    let server = guest.listen(8080);
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(bound).unwrap();
        stream.write_all(b"question").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let mut came = Vec::new();
    guest.until("the question came", |guest| {
        guest.receive(server, &mut came);
        came == b"question"
    });
    guest.send(server, b"answer");
    guest.close(server);
    guest.until("the client has its answer", |_| client.is_finished());
    assert_eq!(client.join().unwrap(), "answer");
    guest.until("both have ended", |guest| guest.figures().connections == 0);

    // Nobody listens in the guest any more.
    let mut refused = TcpStream::connect(bound).unwrap();
    refused.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    guest.until("the reset came", |_| {
        let read = refused.read(&mut [0]);
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    });
}

#[test]
fn rt_9_7_datagrams_go_out_and_come_back() {
    let port = echo_datagrams();
    let mut guest = Guest::new(hosts(), Vec::new());
    let socket = guest.datagrams(5000);
    for length in [0, 1, 1400, 60_000] {
        let data = vec![9; length];
        guest.send_to(socket, gateway(port), &data);
        let mut came = None;
        guest.until("the datagram came back", |guest| {
            came = guest.receive_from(socket);
            came.is_some()
        });
        assert!(came.unwrap() == (gateway(port), data), "{length}");
    }
    assert_eq!(guest.figures().flows, 1);
}

#[test]
fn rt_9_9_a_published_datagram_port_answers_each_peer() {
    let listener = Listener::bind(Transport::Udp, "127.0.0.1:0".parse().unwrap(), 5353).unwrap();
    let bound = at(&listener.record());
    let mut guest = Guest::new(policy(Preset::None, &[]), vec![listener]);
    let socket = guest.datagrams(5353);
    let peers: Vec<UdpSocket> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for (number, peer) in peers.iter().enumerate() {
        peer.set_nonblocking(true).unwrap();
        peer.send_to(format!("question {number}").as_bytes(), bound).unwrap();
    }
    let mut answered = 0;
    guest.until("three were asked", |guest| {
        if let Some((from, question)) = guest.receive_from(socket) {
            guest.send_to(socket, from, &question);
            answered += 1;
        }
        answered == 3
    });
    for (number, peer) in peers.iter().enumerate() {
        let mut bytes = [0; 99];
        let mut came = None;
        guest.until("the answer came", |_| {
            came = peer.recv_from(&mut bytes).ok();
            came.is_some()
        });
        let (count, from) = came.unwrap();
        assert_eq!((&bytes[..count], from), (format!("question {number}").as_bytes(), bound));
    }
}

#[test]
fn a_change_of_the_policy_ends_what_is_allowed_no_longer() {
    let (listener, port) = listening();
    echo(listener);
    let mut guest = Guest::new(hosts(), Vec::new());
    let call = guest.connect(gateway(port));
    guest.until("the call is answered", |guest| guest.state(call) == State::Established);
    assert!(guest.net().say(Command::Policy(Box::new(policy(Preset::None, &[])))));
    guest.until("the reset came", |guest| guest.state(call) == State::Closed);
    assert_eq!(guest.figures().connections, 0);
}

#[test]
fn the_gateway_answers_by_both_protocols() {
    let mut guest = Guest::new(policy(Preset::None, &[]), Vec::new());
    for address in [GATEWAY.into(), GATEWAY6.into()] {
        assert!(guest.ping(address), "{address}");
    }
}

#[test]
fn half_closed_connections_leave_nothing_behind() {
    let (listener, port) = listening();
    echo(listener);
    let mut guest = Guest::new(hosts(), Vec::new());
    for _ in 0..300 {
        let call = guest.connect(gateway(port));
        guest.until("the call is answered", |guest| guest.state(call) == State::Established);
        guest.close(call);
        guest.until("the server has ended too", |guest| {
            matches!(guest.state(call), State::TimeWait | State::Closed)
        });
        guest.forget(call);
    }
    guest.until("nothing is left", |guest| guest.figures().connections == 0);
}

/// A question for the IPv4 address of a name.
fn question(id: u16, name: &str) -> Vec<u8> {
    let mut message = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

/// A server that answers every question for an address with `answer` and says what it was asked.
fn server(answer: [u8; 4]) -> (SocketAddr, std::sync::mpsc::Receiver<Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = socket.local_addr().unwrap();
    let (tell, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 1500];
        while let Ok((count, from)) = socket.recv_from(&mut bytes) {
            let name_end = 12 + bytes[12..count].iter().position(|byte| *byte == 0).unwrap();
            let question = &bytes[12..name_end + 5];
            let mut message = bytes[..2].to_vec();
            message.extend_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            message.extend_from_slice(question);
            message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            message.extend_from_slice(&answer);
            socket.send_to(&message, from).unwrap();
            if tell.send(question.to_ascii_lowercase()).is_err() {
                return;
            }
        }
    });
    (place, asked)
}

fn with_server(policy: Network) -> (Guest, std::sync::mpsc::Receiver<Vec<u8>>) {
    with_server_of(policy, [203, 0, 114, 7])
}

fn with_server_of(policy: Network, answer: [u8; 4]) -> (Guest, std::sync::mpsc::Receiver<Vec<u8>>) {
    let (place, asked) = server(answer);
    let mut names = super::dns::Settings::of_host_name("box");
    names.servers = vec![place];
    (Guest::with_names(policy, Vec::new(), names), asked)
}

#[test]
fn rt_9_17_names_are_asked_for_by_datagram_and_by_stream_and_denied_ones_never_leave() {
    let (mut guest, asked) = with_server(policy(Preset::None, &["api.example"]));
    let socket = guest.datagrams(5000);
    let ask = |guest: &mut Guest, name: &str| {
        guest.send_to(socket, gateway(53), &question(77, name));
        let mut came = None;
        guest.until("an answer came", |guest| {
            came = guest.receive_from(socket);
            came.is_some()
        });
        came.unwrap().1
    };
    let answer = ask(&mut guest, "api.example");
    assert_eq!((&answer[..2], answer[3] & 15, &answer[6..8]), (&[0, 77][..], 0, &[0, 1][..]));
    assert!(answer.ends_with(&[203, 0, 114, 7]));
    let denied = ask(&mut guest, "secret.other.example");
    assert_eq!(denied[3] & 15, 3, "no such name");
    assert_eq!(asked.try_iter().count(), 1, "one name left the host");
    assert_eq!(guest.figures().denied_names, 1);

    let call = guest.connect(gateway(53));
    guest.until("the call is answered", |guest| guest.state(call) == State::Established);
    let message = question(78, "api.example");
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    guest.send(call, &[&length[..], &message].concat());
    let mut came = Vec::new();
    guest.until("an answer came by the stream", |guest| {
        guest.receive(call, &mut came);
        came.len() > 2 && came.len() == 2 + usize::from(u16::from_be_bytes([came[0], came[1]]))
    });
    assert!(came.ends_with(&[203, 0, 114, 7]));
    guest.close(call);
    guest.until("the stream has ended", |guest| guest.figures().connections == 0);
}

#[test]
fn rt_9_14_an_address_may_be_called_while_it_is_an_answer_for_an_allowed_name() {
    let (mut guest, _asked) = with_server(policy(Preset::None, &["api.example"]));
    let there = SocketAddr::from(([203, 0, 114, 7], 9));
    let early = guest.datagrams(5001);
    guest.send_to(early, there, b"too early");
    guest.until("the denial is counted", |guest| guest.figures().denied.values().sum::<u64>() == 1);
    let socket = guest.datagrams(5000);
    guest.send_to(socket, gateway(53), &question(1, "api.example"));
    guest.until("an answer came", |guest| guest.receive_from(socket).is_some());
    guest.send_to(early, there, b"now");
    // This host may have no way there; that it was asked for one is what counts.
    for _ in 0..200 {
        guest.until("a moment", |_| true);
    }
    assert_eq!(guest.figures().denied.values().sum::<u64>(), 1, "the name is pinned");
}

/// Returns where a published port is on the host.
fn at(bound: &Bound) -> SocketAddr {
    SocketAddr::new(bound.bind, bound.host)
}

#[test]
fn rt_9_11_another_policy_and_other_ports_hold_at_once() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let mut guest = Guest::new(hosts(), vec![]);
    let through = guest.connect(SocketAddr::from((GATEWAY, port)));
    guest.until("it is open", |guest| guest.state(through) == State::Established);
    let _held = server.accept().unwrap();

    let publish =
        |host, guest| Publish { protocol: Transport::Tcp, bind: PublishedPort::BIND, host, guest };
    let mut link = Link {
        mac: schema::link::Mac([2, 0, 0, 0, 0, 1]),
        policy: policy(Preset::None, &[]),
        ports: vec![publish(HostPort::Auto { last: None }, 80)],
        connect: BTreeMap::new(),
        instances: BTreeMap::new(),
        callers: BTreeMap::new(),
    };
    guest.net_mut().change(&link).unwrap();
    guest.until("the open one is reset", |guest| guest.state(through) == State::Closed);
    let first = at(&guest.net().published()[0]);

    // One that is taken: nothing changes, though another was to go for it.
    link.ports =
        vec![publish(HostPort::Fixed(port), 80), publish(HostPort::Fixed(first.port()), 81)];
    let error = guest.net_mut().change(&link).unwrap_err().to_string();
    assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
    assert_eq!(at(&guest.net().published()[0]), first);
    assert_eq!(guest.net().published()[0].guest, 80);

    // The same where that other one was let go for it: it is had again.
    link.ports = vec![publish(HostPort::Fixed(port), 80)];
    guest.net_mut().change(&link).unwrap_err();
    assert_eq!(at(&guest.net().published()[0]), first);
    TcpListener::bind(first).unwrap_err();

    // What is let go does not stand in the way of what comes.
    let any = "0.0.0.0".parse().unwrap();
    link.ports = vec![Publish { bind: any, ..publish(HostPort::Fixed(first.port()), 80) }];
    guest.net_mut().change(&link).unwrap();
    let inside = guest.listen(80);
    let mut caller = TcpStream::connect(first).unwrap();
    guest.until("it was called", |guest| guest.state(inside) == State::Established);
    caller.set_nonblocking(true).unwrap();
    link.ports.clear();
    guest.net_mut().change(&link).unwrap();
    TcpListener::bind(first).unwrap();
    let kept = caller.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(kept.unwrap_err(), std::io::ErrorKind::WouldBlock, "what is open goes on");
}

#[test]
fn rt_9_15_a_denial_is_told_once_a_minute() {
    let mut guest = Guest::new(policy(Preset::None, &[]), vec![]);
    let mut denials = guest.net_mut().take_denials().unwrap();
    for address in ["10.9.8.7:80", "10.9.8.7:80", "8.8.8.8:443"] {
        let denied = guest.connect(address.parse().unwrap());
        guest.until("it is denied", |guest| guest.state(denied) == State::Closed);
    }
    let mut told = Vec::new();
    while let Ok(denial) = denials.try_recv() {
        told.push(format!("{} {} {}", denial.by, denial.protocol, denial.remote));
    }
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1], "the preset tcp 8.8.8.8:443");
    assert_eq!(guest.figures().denied.values().sum::<u64>(), 3);
}

#[test]
fn rt_9_14_whom_a_guest_asks_for_by_tls_must_be_allowed_too() {
    let (listener, port) = listening();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut bytes = [0; 1000];
            let count = stream.unwrap().read(&mut bytes).unwrap_or(0);
            tell.send(bytes[..count].to_vec()).unwrap();
        }
    });
    let mut rules = policy(Preset::None, &["api.example"]);
    rules.tls.ports = vec![port];
    rules.dns.rebind_protection = false;
    let (mut guest, _asked) = with_server_of(rules, [127, 0, 0, 1]);
    let socket = guest.datagrams(5000);
    guest.send_to(socket, gateway(53), &question(1, "api.example"));
    guest.until("an answer came", |guest| guest.receive_from(socket).is_some());
    for (name, passes) in [("api.example", true), ("other.example", false)] {
        let call = guest.connect(SocketAddr::from(([127, 0, 0, 1], port)));
        guest.until("the call is answered", |guest| guest.state(call) == State::Established);
        let greeting = super::hello::tests::greeting_for(name);
        guest.send(call, &greeting);
        let mut came = None;
        guest.until("the server has heard, or that it ends", |_| {
            came = told.try_recv().ok();
            came.is_some()
        });
        assert!(came.unwrap() == if passes { greeting } else { Vec::new() }, "{name}");
    }
    assert_eq!(guest.figures().denied.values().sum::<u64>(), 1);
}

#[test]
fn rt_9_1_more_than_a_thousand_malformed_frames_in_a_second_are_one_event() {
    let mut guest = Guest::new(policy(Preset::None, &[]), vec![]);
    let mut denials = guest.net_mut().take_denials().unwrap();
    // Whole frames of packets that are none; a test that is interrupted for a second starts again.
    let mut count = 0;
    guest.until("it is told", |guest| {
        for _ in 0..400 {
            guest.put(&[0x45; 5]);
            guest.turn();
            count += 1;
        }
        !denials.is_empty()
    });
    let told = denials.try_recv().unwrap();
    assert_eq!(
        (&*told.by, told.protocol, &*told.remote),
        ("malformed frames", "ethernet", "the wire")
    );
    for _ in 0..400 {
        guest.put(&[0x45; 5]);
        guest.turn();
        count += 1;
    }
    guest.until("all are counted", |guest| guest.figures().malformed == count);
    assert!(count > 1_000 && denials.is_empty(), "{count}, and once");
}
