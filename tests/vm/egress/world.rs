//! Everybody else: servers that answer at every address, and what was seen to come to them.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

use tests::wire::Wire;

/// Ports at which everybody listens, whoever calls.
const TCP: [u16; 7] = [53, 80, 443, 853, 7000, 8080, SECRET];
const UDP: [u16; 8] = [80, 443, 5353, 7000, 7001, 40000, 853, SECRET];
const SECRET: u16 = super::SECRET_PORT;

/// The addresses of names; whoever is not listed is nobody.
const NAMES: [(&str, &[&str]); 9] = [
    ("api.allowed.example", &["93.184.216.34"]),
    ("alias.allowed.example", &["93.184.216.60"]),
    ("loopback.rebind.example", &["127.0.0.1"]),
    ("private.rebind.example", &["10.0.0.5"]),
    ("metadata.rebind.example", &["169.254.169.254"]),
    ("nowhere.rebind.example", &["0.0.0.0"]),
    ("six.rebind.example", &["::1"]),
    ("mapped.rebind.example", &["::ffff:10.0.0.5"]),
    ("mixed.rebind.example", &["10.0.0.5", "93.184.216.50"]),
];

/// See the module. Its threads end with the test's process.
pub(crate) struct World {
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl World {
    pub(crate) fn begin(wire: &Wire) -> Self {
        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        wire.far().inside(|| {
            for port in TCP {
                let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap();
                std::thread::spawn(move || greet(&listener));
            }
            for port in UDP {
                // An answer must come from whom was asked.
                let socket = UdpSocket::bind((Ipv4Addr::new(93, 184, 216, 40), port)).unwrap();
                std::thread::spawn(move || echo(&socket));
            }
            let server = UdpSocket::bind((Ipv4Addr::new(9, 9, 9, 9), 53)).unwrap();
            let heard = Arc::clone(&asked);
            std::thread::spawn(move || answer(&server, &heard));
        });
        Self { asked }
    }

    /// Returns every name that a question was about.
    pub(crate) fn asked(&self) -> BTreeSet<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn greet(listener: &TcpListener) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        std::thread::spawn(move || {
            // Who says nothing is kept until it goes.
            if stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                stream.write_all(b"world").ok();
            }
        });
    }
}

fn echo(socket: &UdpSocket) {
    let mut bytes = [0; 4096];
    while let Ok((_, from)) = socket.recv_from(&mut bytes) {
        socket.send_to(b"world", from).ok();
    }
}

fn answer(socket: &UdpSocket, asked: &Mutex<BTreeSet<String>>) {
    let mut bytes = [0; 4096];
    while let Ok((count, from)) = socket.recv_from(&mut bytes) {
        let question = &bytes[..count];
        let (name, end) = name(question);
        asked.lock().unwrap().insert(name.clone());
        let kind = u16::from_be_bytes([question[end], question[end + 1]]);
        let known = NAMES.iter().find(|(one, _)| *one == name).map_or(&[][..], |(_, list)| *list);
        let mut records = Vec::new();
        let mut count = 0;
        if name.starts_with("alias.") {
            // A name that is allowed says that it is one that is not.
            records.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 14]);
            records.extend(b"\x06denied\x05other\0"[..].iter());
            count += 1;
        }
        let at: Vec<u8> =
            if count == 0 { vec![0xc0, 12] } else { b"\x06denied\x05other\0".to_vec() };
        for address in known {
            let octets = match address.parse().unwrap() {
                std::net::IpAddr::V4(it) if kind == 1 => it.octets().to_vec(),
                std::net::IpAddr::V6(it) if kind == 28 => it.octets().to_vec(),
                _ => continue,
            };
            records.extend(&at);
            records.extend(kind.to_be_bytes());
            records.extend([0, 1, 0, 0, 0, 60, 0, u8::try_from(octets.len()).unwrap()]);
            records.extend(octets);
            count += 1;
        }
        let head = [question[0], question[1], 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0];
        let message = [&head[..], &question[12..end + 4], &records].concat();
        socket.send_to(&message, from).ok();
    }
}

/// Returns the name that a question is about, in lower case, and where its type stands.
fn name(message: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while message[at] != 0 {
        let end = at + 1 + usize::from(message[at]);
        labels.push(String::from_utf8_lossy(&message[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    (labels.join("."), at + 1)
}

/// What was seen on the wire.
pub(crate) struct Seen {
    /// Protocol, address and port of whoever was sent something.
    pub(crate) flows: BTreeSet<String>,
    packets: Vec<Vec<u8>>,
}

impl Seen {
    pub(crate) fn of(packets: &[Vec<u8>]) -> Self {
        let packets: Vec<_> =
            packets.iter().filter(|packet| !is_of_the_kernel(packet)).cloned().collect();
        let flows = packets.iter().map(|packet| flow(packet)).collect();
        Self { flows, packets }
    }

    pub(crate) fn holds(&self, text: &[u8]) -> bool {
        self.packets.iter().any(|packet| packet.windows(text.len()).any(|window| window == text))
    }
}

/// What a kernel says for itself when a device appears: that it is there, and who else is.
fn is_of_the_kernel(packet: &[u8]) -> bool {
    let is_six = packet[0] >> 4 == 6;
    let next = if is_six && packet[6] == 0 { packet[40] } else { packet[6] };
    let kind = if is_six && packet[6] == 0 { packet[48] } else { packet[40 % packet.len()] };
    is_six && next == 58 && matches!(kind, 130..=136 | 143)
}

fn flow(packet: &[u8]) -> String {
    let (protocol, to, body) = if packet[0] >> 4 == 4 {
        let to: [u8; 4] = packet[16..20].try_into().unwrap();
        (packet[9], Ipv4Addr::from(to).to_string(), &packet[usize::from(packet[0] & 15) * 4..])
    } else {
        let to: [u8; 16] = packet[24..40].try_into().unwrap();
        (packet[6], format!("[{}]", Ipv6Addr::from(to)), &packet[40..])
    };
    let port = || u16::from_be_bytes([body[2], body[3]]);
    match protocol {
        6 => format!("tcp {to}:{}", port()),
        17 => format!("udp {to}:{}", port()),
        other => format!("{other} {to}"),
    }
}
