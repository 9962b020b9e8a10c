//! Target `dns`: any bytes as questions of a guest and as what servers say, in any order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use runtime::net::dns::{Act, Asker, Chance, Heard, QueryId, Resolver, Settings, Transport};
use runtime::net::pins::{PINS_MAX, Pins};
use schema::policy::{Remote, keeps_answer, may_look_up};
use schema::project::network::{Network, Preset, Rule, RuleParts, Target};

/// What the rules of the target allow; everything else is denied.
const TARGETS: [&str; 3] = ["*.a.example", "b.example", "10.0.0.0/8"];

/// What a resolver is given, and what it must keep to.
struct Bench {
    resolver: Resolver,
    network: Network,
    now: Instant,
    pins: Pins,
    open: BTreeMap<QueryId, (SocketAddr, Vec<u8>)>,
}

/// Does what `bytes` say, and holds that nothing leaves that may not, that nothing is pinned that
/// may not be, and that what is held is bounded.
///
/// The bytes are [`crate::steps`].
pub(crate) fn check(bytes: &[u8]) {
    let mut bench = Bench::new();
    for (step, how, body) in crate::steps(bytes) {
        bench.step(step, how, body);
        bench.hold();
    }
}

impl Bench {
    fn new() -> Self {
        let mut seed = 0_u64;
        let chance = Chance::from_fn(move || {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            seed
        });
        let mut settings = Settings::of_host_name("box");
        settings.ipv6 = true;
        settings.servers = ["9.9.9.9:53", "8.8.8.8:53"].map(|at| at.parse().expect("one")).into();
        let rules = TARGETS.map(|target| {
            let target = Target::parse(target).expect("it is one");
            Rule::new(RuleParts::allow(target)).expect("it is one")
        });
        let network = Network { preset: Preset::None, rules: rules.into(), ..Network::default() };
        #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
        let now = Instant::now();
        let resolver = Resolver::new(settings, chance);
        Self { resolver, network, now, pins: Pins::default(), open: BTreeMap::new() }
    }

    fn step(&mut self, step: u8, how: u8, body: &[u8]) {
        let nth = usize::from(how) % self.open.len().max(1);
        let open = self.open.iter().nth(nth).map(|(query, open)| (*query, open.clone()));
        let (resolver, network, now) = (&mut self.resolver, &self.network, self.now);
        let acts = match (step % 6, open) {
            (0 | 1, _) => {
                let by = if how & 1 == 0 { Transport::Udp } else { Transport::Tcp };
                let to = if how & 2 == 0 { [198, 18, 0, 1] } else { [10, 0, 0, 53] };
                let asker = Asker { id: how.into(), by, to: (to, 53).into() };
                resolver.asked(network, asker, body, now)
            }
            (2, Some((query, (server, _)))) => {
                resolver.heard(network, Heard { query, server, message: body }, now)
            }
            (3, Some((query, (server, asked)))) => {
                let message = fitting(&asked, body);
                resolver.heard(network, Heard { query, server, message: &message }, now)
            }
            (4, Some((query, _))) => resolver.failed(network, query, now),
            _ => {
                self.now += Duration::from_millis(u64::from(how) * 20);
                resolver.tick(network, self.now)
            }
        };
        for act in acts {
            self.take(act);
        }
    }

    fn take(&mut self, act: Act) {
        match act {
            Act::Ask { query, server, message, .. } => {
                let name = name(&message);
                assert!(may_look_up(&self.network, &name), "{name} left");
                assert!(
                    self.open.insert(query, (server, message)).is_none(),
                    "a number came twice"
                );
            }
            Act::Forget { query } => {
                assert!(self.open.remove(&query).is_some(), "a socket was closed twice");
            }
            Act::Pin { name, addresses, ttl } => {
                assert!(may_look_up(&self.network, &name), "{name} is pinned");
                for address in &addresses {
                    let kept = keeps_answer(&self.network, &name, Remote::at(*address));
                    assert!(kept, "{name} is pinned to {address}");
                }
                self.pins.pin(&name, &addresses, ttl, self.now);
            }
            Act::Answer { asker, message } => {
                let most = if asker.by == Transport::Udp { 4096 } else { 65_535 };
                assert!(message.len() <= most, "{} bytes are answered", message.len());
                assert!(message.len() >= 12 && message[2] & 0x80 != 0, "that is no answer");
            }
            Act::Note(_) => {}
        }
    }

    fn hold(&self) {
        let load = self.resolver.load();
        assert_eq!(load.in_flight, self.open.len(), "each question has a socket");
        assert!(load.in_flight <= 64 && load.waiting <= 1024, "{load:?}");
        assert!(load.cached <= 1000 && load.cached_bytes <= 4 << 20, "{load:?}");
        assert!(self.pins.len() <= PINS_MAX, "{} pins", self.pins.len());
        assert_eq!(load.in_flight > 0, self.resolver.deadline().is_some(), "nobody waits for ever");
    }
}

/// Makes an answer to `asked` out of flags, three counts, and records.
fn fitting(asked: &[u8], body: &[u8]) -> Vec<u8> {
    let (head, records) = body.split_at(body.len().min(8));
    let mut out = asked[..2].to_vec();
    out.extend(head);
    out.resize(10, 0);
    out[2] |= 0x80;
    out.splice(4..4, [0, 1]);
    let end = 12 + question(asked).len() + 4;
    out.extend(&asked[12..end]);
    out.extend(records);
    out
}

/// Returns the name that a question of ours is about, with its lengths.
fn question(message: &[u8]) -> &[u8] {
    let name = &message[12..];
    let end = name.iter().position(|byte| *byte == 0).expect("a name ends");
    &name[..=end]
}

/// Returns the same as text.
fn name(message: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut rest = question(message);
    while let Some((length, behind)) = rest.split_first().filter(|(length, _)| **length > 0) {
        let (label, after) = behind.split_at((*length).into());
        labels.push(String::from_utf8_lossy(label).into_owned());
        rest = after;
    }
    labels.join(".")
}
