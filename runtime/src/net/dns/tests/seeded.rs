//! Laws that hold whatever is asked and answered, tried on what a seed makes up.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schema::policy::{Remote, keeps_answer, may_look_up};

use super::super::write::{self, Reply};
use super::*;

/// Numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }
}

const NAMES: [&str; 8] = [
    "a.example",
    "x.a.example",
    "B.example",
    "c.other",
    "localhost",
    "box",
    "db.msb.internal",
    "x.b.example",
];
const RULES: [&str; 9] = [
    "allow a.example",
    "allow *.a.example tcp/443",
    "deny b.example",
    "deny *.c.other",
    "allow private",
    "allow any tcp/443",
    "deny public",
    "allow 10.0.0.0/8",
    "allow 127.0.0.1",
];
const ANSWERS: [&str; 14] = [
    "NXDOMAIN",
    "SERVFAIL",
    "CUT",
    "A 1.1.1.1 300",
    "A 10.0.0.1 10",
    "A 127.0.0.1 0",
    "AAAA 2606:4700::1 90",
    "AAAA fd00::1 90",
    "CNAME b.example 70",
    "b.example CNAME a.example 70",
    "b.example A 10.0.0.1 70",
    "HTTPS . 0=4 4=1.1.1.1,10.0.0.1 6=fd00::1 60",
    "example SOA ns.example 90 90",
    "TXT text 60",
];

/// What the guest's questions and the servers' sockets must add up to.
#[derive(Default)]
struct Books {
    asked: usize,
    answered: usize,
    dropped: usize,
    open: BTreeMap<QueryId, (SocketAddr, Vec<u8>)>,
    pinned: Vec<(String, IpAddr)>,
}

impl Books {
    fn take(&mut self, network: &Network, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Ask { query, server, message, .. } => {
                    let name = read::query(&message).unwrap().question.name.text().unwrap();
                    assert!(may_look_up(network, &name), "{name} left");
                    assert!(!name.ends_with("localhost") && !name.ends_with("msb.internal"));
                    assert!(self.open.insert(query, (server, message)).is_none());
                }
                Act::Forget { query } => assert!(self.open.remove(&query).is_some()),
                Act::Pin { name, addresses, ttl } => {
                    assert!(ttl <= Duration::from_secs(3600));
                    for address in addresses {
                        assert!(keeps_answer(network, &name, Remote::at(address)), "{address}");
                        self.pinned.push((name.clone(), address));
                    }
                }
                Act::Answer { message, asker } => {
                    self.answered += 1;
                    assert!(asker.by == Transport::Tcp || message.len() <= 1232);
                    self.told(&message);
                }
                Act::Note(Noted::TooFast) => self.dropped += 1,
                Act::Note(_) => {}
            }
        }
    }

    /// Every address of the outside that the guest is told was pinned to the name before.
    fn told(&self, message: &[u8]) {
        let head = read::answered(message).unwrap();
        let name = head.question.as_ref().unwrap().name.text().unwrap();
        for (record, ttl) in read::records(message, &head).unwrap().0 {
            let address: IpAddr = match record.data {
                Data::A(v4) => v4.into(),
                Data::Aaaa(v6) => v6.into(),
                _ => continue,
            };
            let is_ours = ttl == 5 && ["localhost", "box"].contains(&name.as_str());
            assert!(is_ours || self.pinned.contains(&(name.clone(), address)), "{name} {address}");
        }
    }
}

fn run(seed: u64) {
    let mut dice = Dice(seed);
    let rules: Vec<&str> = (0..dice.roll(5)).map(|_| *dice.one(&RULES)).collect();
    let presets = [Preset::None, Preset::Public, Preset::Private, Preset::Open];
    let mut bench = Bench::new(*dice.one(&presets), &rules);
    bench.resolver.set_ipv6(dice.roll(2) == 0);
    let mut books = Books::default();
    for _ in 0..120 {
        bench.now += Duration::from_millis(u64::try_from(dice.roll(900)).unwrap());
        let some = |dice: &mut Dice, books: &Books| {
            let at = dice.roll(books.open.len().max(1));
            books
                .open
                .iter()
                .nth(at)
                .map(|(query, (server, asked))| (*query, *server, asked.clone()))
        };
        let (resolver, network, now) = (&mut bench.resolver, &bench.network, bench.now);
        let acts = match dice.roll(8) {
            0..=2 => {
                let kind = dice.one(&KINDS).0;
                let question = format!("{} {kind}", dice.one(&NAMES));
                let by = *dice.one(&[Transport::Udp, Transport::Tcp]);
                let asker = Asker { id: u64::try_from(books.asked).unwrap(), by, to: bench.to };
                books.asked += 1;
                resolver.asked(network, asker, &ask(7, &question, Some(1232)), now)
            }
            3..=5 => {
                let Some((query, server, asked)) = some(&mut dice, &books) else { continue };
                let records: Vec<&str> = (0..dice.roll(5)).map(|_| *dice.one(&ANSWERS)).collect();
                let message = say(&asked, &records);
                resolver.heard(network, Heard { query, server, message: &message }, now)
            }
            6 => {
                let Some((query, ..)) = some(&mut dice, &books) else { continue };
                resolver.failed(network, query, now)
            }
            _ => resolver.tick(network, now),
        };
        books.take(&bench.network, acts);
        assert_eq!(bench.resolver.load().in_flight, books.open.len());
    }
    // In the end everybody was answered, once.
    while let Some(deadline) = bench.resolver.deadline() {
        let acts = bench.resolver.tick(&bench.network, deadline.max(bench.now));
        bench.now = bench.now.max(deadline);
        books.take(&bench.network, acts);
    }
    assert!(books.open.is_empty());
    assert_eq!(bench.resolver.load().waiting, 0);
    assert_eq!(books.asked, books.answered + books.dropped, "{rules:?}");
}

#[test]
fn whatever_is_said_nothing_leaves_unjudged_and_everybody_is_answered_once() {
    for seed in 1..600 {
        run(seed * 0x9e37_79b9);
    }
}

/// Returns an answer that may have been damaged on its way.
fn damaged(dice: &mut Dice, asked: &[u8]) -> Vec<u8> {
    let records: Vec<&str> = (0..dice.roll(5)).map(|_| *dice.one(&ANSWERS)).collect();
    let mut said = say(asked, &records);
    for _ in 0..dice.roll(4) {
        let at = dice.roll(said.len());
        said[at] = u8::try_from(dice.roll(256)).unwrap();
    }
    let cut = dice.roll(2) * dice.roll(said.len());
    said.truncate(said.len() - cut);
    said
}

#[test]
fn any_bytes_are_an_answer_or_none() {
    let mut dice = Dice(42);
    for _ in 0..3_000 {
        let mut bench = Bench::public();
        bench.ask(&format!("{} {}", dice.one(&NAMES[..4]), dice.one(&KINDS[..13]).0));
        if let Some((.., asked)) = bench.open.first().cloned() {
            bench.say_bytes(&damaged(&mut dice, &asked));
        }
    }
}

#[test]
fn what_is_read_is_written_the_same() {
    let mut dice = Dice(43);
    let mut round_trips = 0;
    for _ in 0..20_000 {
        let kind = dice.one(&KINDS[..13]).0;
        let asked = ask(7, &format!("{} {kind}", dice.one(&NAMES)), None);
        let said = damaged(&mut dice, &asked);
        let Some(head) = read::answered(&said) else { continue };
        let Some((answers, _)) = read::records(&said, &head) else { continue };
        let answers: Vec<Record> = answers.into_iter().map(|(record, _)| record).collect();
        let reply = Reply { code: Code::NO_ERROR, answers: &answers, soa: None, ttl_s: 9 };
        let written = write::reply(&read::query(&asked).unwrap(), &reply, true);
        let head = read::answered(&written).unwrap();
        let again = read::records(&written, &head).unwrap().0;
        assert!(again.iter().all(|(_, ttl)| *ttl == 9));
        let again: Vec<Record> = again.into_iter().map(|(record, _)| record).collect();
        assert_eq!(again, answers);
        round_trips += usize::from(!answers.is_empty());
    }
    assert!(round_trips > 4_000, "{round_trips}");
}
