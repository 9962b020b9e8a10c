//! The resolver, asked and answered as text: each case is a question and what is done about it.

mod bytes;
mod here;
mod kinds;
mod rebinding;
mod seeded;
mod steps;
mod upstream;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use schema::project::network::{
    Action, Network, PortSet, Preset, Protocols, Rule, RuleParts, Target,
};

use super::name::Name;
use super::read::{self, Question};
use super::record::{Code, Data, Kind, Record, Service, Soa};
use super::*;

/// Every server of the tests, in their order.
const SERVERS: [&str; 2] = ["9.9.9.9:53", "8.8.8.8:53"];

/// Returns a network with rules as they print: `deny a.example tcp/22`.
fn network(preset: Preset, rules: &[&str]) -> Network {
    let rule = |text: &&str| {
        let mut words = text.split(' ');
        let action = if words.next() == Some("allow") { Action::Allow } else { Action::Deny };
        let target = Target::parse(words.next().unwrap()).unwrap();
        let mut parts = RuleParts { action, ..RuleParts::allow(target) };
        if let Some((protocol, ports)) = words.next().and_then(|traffic| traffic.split_once('/')) {
            parts.ports = PortSet::parse(ports).unwrap();
            parts.protocol = if protocol == "tcp" { Protocols::Tcp } else { Protocols::Udp };
        }
        Rule::new(parts).unwrap()
    };
    Network { preset, rules: rules.iter().map(rule).collect(), ..Network::default() }
}

/// A resolver with what it is asked by, and a clock.
struct Bench {
    resolver: Resolver,
    network: Network,
    start: Instant,
    now: Instant,
    by: Transport,
    to: SocketAddr,
    /// What the next question has: its id, and the bytes that it takes.
    id: u16,
    edns: Option<u16>,
    /// Questions to servers that were not closed.
    open: Vec<(QueryId, SocketAddr, Transport, Vec<u8>)>,
}

impl Bench {
    fn new(preset: Preset, rules: &[&str]) -> Self {
        let mut seed = 1_u64;
        let chance = Chance::from_fn(move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            seed ^ seed >> 29
        });
        let mut settings = Settings::of_host_name("box");
        settings.servers = SERVERS.map(|server| server.parse().unwrap()).to_vec();
        #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
        let start = Instant::now();
        Self {
            resolver: Resolver::new(settings, chance),
            network: network(preset, rules),
            start,
            now: start,
            by: Transport::Udp,
            to: "198.18.0.1:53".parse().unwrap(),
            id: 7,
            edns: None,
            open: Vec::new(),
        }
    }

    fn public() -> Self {
        Self::new(Preset::Public, &[])
    }

    fn asker(&self) -> Asker {
        Asker { id: 1, by: self.by, to: self.to }
    }

    /// Asks `a.example A`; returns what is done, a line each.
    fn ask(&mut self, question: &str) -> Vec<String> {
        let message = ask(self.id, question, self.edns);
        self.ask_bytes(&message)
    }

    fn ask_bytes(&mut self, message: &[u8]) -> Vec<String> {
        let acts = self.resolver.asked(&self.network, self.asker(), message, self.now);
        self.take(&acts)
    }

    /// Lets the server that was asked last say something: `NXDOMAIN`, or `A 1.1.1.1 60` and more.
    fn say(&mut self, records: &[&str]) -> Vec<String> {
        let (_, _, _, asked) = self.open.last().cloned().expect("somebody was asked");
        self.say_bytes(&say(&asked, records))
    }

    fn say_bytes(&mut self, message: &[u8]) -> Vec<String> {
        let (query, server, ..) = *self.open.last().expect("somebody was asked");
        let heard = Heard { query, server, message };
        let acts = self.resolver.heard(&self.network, heard, self.now);
        self.take(&acts)
    }

    fn fail(&mut self) -> Vec<String> {
        let (query, ..) = *self.open.last().expect("somebody was asked");
        let acts = self.resolver.failed(&self.network, query, self.now);
        self.take(&acts)
    }

    fn wait(&mut self, seconds: f64) -> Vec<String> {
        self.now += Duration::from_secs_f64(seconds);
        let acts = self.resolver.tick(&self.network, self.now);
        self.take(&acts)
    }

    /// Waits for the resolver's own deadline.
    fn wait_for_it(&mut self) -> Vec<String> {
        self.now = self.resolver.deadline().expect("something is in flight");
        let acts = self.resolver.tick(&self.network, self.now);
        self.take(&acts)
    }

    fn take(&mut self, acts: &[Act]) -> Vec<String> {
        for act in acts {
            match act {
                Act::Ask { query, server, by, message } => {
                    self.open.push((*query, *server, *by, message.clone()));
                }
                Act::Forget { query } => {
                    let before = self.open.len();
                    self.open.retain(|(open, ..)| open != query);
                    assert_eq!(before, self.open.len() + 1, "what is closed was open");
                }
                Act::Answer { .. } | Act::Pin { .. } | Act::Note(_) => {}
            }
        }
        assert_eq!(self.open.len(), self.resolver.load().in_flight);
        acts.iter().map(show).collect()
    }
}

/// Writes a question of a guest.
fn ask(id: u16, question: &str, edns: Option<u16>) -> Vec<u8> {
    let (name, kind) = question.split_once(' ').unwrap();
    let mut out = id.to_be_bytes().to_vec();
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())]);
    out.extend(wire(name));
    out.extend(kind_of(kind).0.to_be_bytes());
    out.extend([0, 1]);
    if let Some(bytes) = edns {
        out.extend([0, 0, 41]);
        out.extend(bytes.to_be_bytes());
        out.extend([0; 6]);
    }
    out
}

fn wire(name: &str) -> Vec<u8> {
    if name == "." { vec![0] } else { Name::parse(name).unwrap().wire().to_vec() }
}

const KINDS: [(&str, Kind); 15] = [
    ("A", Kind::A),
    ("NS", Kind::NS),
    ("CNAME", Kind::CNAME),
    ("SOA", Kind::SOA),
    ("PTR", Kind::PTR),
    ("MX", Kind::MX),
    ("TXT", Kind::TXT),
    ("AAAA", Kind::AAAA),
    ("SRV", Kind::SRV),
    ("NAPTR", Kind::NAPTR),
    ("SVCB", Kind::SVCB),
    ("HTTPS", Kind::HTTPS),
    ("CAA", Kind::CAA),
    ("ANY", Kind(255)),
    ("NULL", Kind(10)),
];

fn kind_of(text: &str) -> Kind {
    KINDS.iter().find(|(word, _)| *word == text).unwrap().1
}

const CODES: [(&str, Code); 7] = [
    ("NOERROR", Code::NO_ERROR),
    ("FORMERR", Code::FORM_ERR),
    ("SERVFAIL", Code::SERV_FAIL),
    ("NXDOMAIN", Code::NX_DOMAIN),
    ("NOTIMP", Code::NOT_IMP),
    ("REFUSED", Code::REFUSED),
    ("CUT", Code(0)),
];

/// Answers a question of ours with records such as `A 1.1.1.1 60`, `b.example A 1.1.1.1 60` or
/// `NXDOMAIN`; what begins with `SOA` stands where zones do.
fn say(asked: &[u8], records: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    let (mut flags, mut answers, mut zones) = (0x8180_u16, 0_u8, 0_u8);
    for text in records {
        if let Some((word, code)) = CODES.iter().find(|(word, _)| word == text) {
            flags |= code.0 | if *word == "CUT" { read::IS_CUT } else { 0 };
            continue;
        }
        let mut words: Vec<&str> = text.split(' ').collect();
        let has_owner = !KINDS.iter().any(|(kind, _)| *kind == words[0]);
        body.extend(if has_owner { wire(words.remove(0)) } else { vec![0xc0, 12] });
        let ttl: u32 = words.pop().unwrap().parse().unwrap();
        let kind = kind_of(words[0]);
        let data = data(kind, &words[1..]);
        body.extend(kind.0.to_be_bytes());
        body.extend([0, 1]);
        body.extend(ttl.to_be_bytes());
        body.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        body.extend(data);
        if kind == Kind::SOA { zones += 1 } else { answers += 1 }
    }
    let question = asked[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let mut out = asked[..2].to_vec();
    out.extend(flags.to_be_bytes());
    out.extend([0, 1, 0, answers, 0, zones, 0, 0]);
    out.extend(&asked[12..12 + question]);
    out.extend(body);
    out
}

fn data(kind: Kind, words: &[&str]) -> Vec<u8> {
    let parts = |text: &str| -> Vec<u8> {
        match text.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(v4)) => v4.octets().to_vec(),
            Ok(std::net::IpAddr::V6(v6)) => v6.octets().to_vec(),
            Err(_) => text.as_bytes().to_vec(),
        }
    };
    match kind {
        Kind::A | Kind::AAAA => parts(words[0]),
        Kind::CNAME | Kind::NS | Kind::PTR => wire(words[0]),
        Kind::MX => [vec![0, 10], wire(words[0])].concat(),
        Kind::SRV => [vec![0, 1, 0, 2, 0, 80], wire(words[0])].concat(),
        Kind::NAPTR => [b"\0\x01\0\x02\x01u\x03E2U\x01!".to_vec(), wire(words[0])].concat(),
        Kind::SOA => {
            let absent: u32 = words[1].parse().unwrap();
            [wire(words[0]), wire(words[0]), vec![0; 16], absent.to_be_bytes().to_vec()].concat()
        }
        Kind::SVCB | Kind::HTTPS => {
            let mut out = [vec![0, 1], wire(words[0])].concat();
            for parameter in &words[1..] {
                let (key, values) = parameter.split_once('=').unwrap();
                let key: u16 = key.parse().unwrap();
                let number = |text: &str| match key {
                    Service::MANDATORY => text.parse::<u16>().unwrap().to_be_bytes().to_vec(),
                    _ => parts(text),
                };
                let value: Vec<u8> = values.split(',').flat_map(number).collect();
                out.extend(key.to_be_bytes());
                out.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
                out.extend(value);
            }
            out
        }
        _ => {
            let text = words.join(" ");
            [vec![u8::try_from(text.len()).unwrap()], text.into_bytes()].concat()
        }
    }
}

/// Prints an act.
fn show(act: &Act) -> String {
    match act {
        Act::Answer { message, .. } => answer(message),
        Act::Ask { server, by, message, .. } => format!("ask {server} {by:?} {}", asked(message)),
        Act::Forget { .. } => "forget".to_owned(),
        Act::Pin { name, addresses, ttl } => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            format!("pin {name} {} {}", addresses.join(","), ttl.as_secs())
        }
        Act::Note(noted) => format!("note {noted:?}"),
    }
}

fn asked(message: &[u8]) -> String {
    let query = read::query(message).expect("we ask well");
    named(&query.question)
}

fn named(question: &Question) -> String {
    let kind = KINDS.iter().find(|(_, kind)| *kind == question.kind).map_or("?", |(word, _)| word);
    format!("{} {kind}", text(&question.name))
}

fn text(name: &Name) -> String {
    name.text().unwrap_or_else(|| "?".to_owned())
}

/// Prints an answer to a guest: `NOERROR a.example A: A 1.1.1.1; for 60 s`.
fn answer(message: &[u8]) -> String {
    let mut message = message.to_vec();
    // What another operation is told repeats that.
    message[2] &= 0x87;
    let head = read::answered(&message).expect("we answer well");
    let (answers, zones) = read::records(&message, &head).expect("we answer well");
    let code = CODES.iter().find(|(_, code)| *code == head.code).unwrap().0;
    let mut text = code.to_owned();
    if head.is_cut {
        text += " CUT";
    }
    if let Some(question) = &head.question {
        text.push(' ');
        text.push_str(&named(question));
    }
    let mut ttls: Vec<u32> = answers.iter().chain(&zones).map(|(_, ttl)| *ttl).collect();
    for (record, _) in answers.iter().chain(&zones) {
        text.push_str(", ");
        text.push_str(&record_text(record));
    }
    ttls.dedup();
    assert!(ttls.len() < 2, "all of an answer holds as long");
    ttls.first().map_or(text.clone(), |ttl| format!("{text}, for {ttl} s"))
}

fn record_text(record: &Record) -> String {
    let owner = Some(text(&record.owner)).filter(|owner| !owner.is_empty());
    let owner = owner.unwrap_or_else(|| ".".to_owned());
    let kind = KINDS.iter().find(|(_, kind)| *kind == record.kind()).unwrap().0;
    let data = match &record.data {
        Data::A(address) => address.to_string(),
        Data::Aaaa(address) => address.to_string(),
        Data::Name(_, name) | Data::Behind(_, _, name) => text(name),
        Data::Soa(Soa { absent_s, .. }) => absent_s.to_string(),
        Data::Service(_, service) => {
            let parameters = service.parameters.iter();
            let texts: Vec<_> =
                parameters.map(|(key, value)| format!("{key}={}", hex(value))).collect();
            format!("{} {}", text(&service.target), texts.join(" "))
        }
        Data::Plain(_, bytes) => String::from_utf8_lossy(&bytes[1..]).into_owned(),
    };
    format!("{owner} {kind} {data}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
