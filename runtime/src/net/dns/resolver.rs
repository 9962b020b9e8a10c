//! The resolver as its caller sees it, and the first four steps of a question.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use schema::policy::{By, Flow, Surroundings, judge, may_look_up};
use schema::project::network::{Direction, Network, Protocol};

use super::act::{Act, Asker, Chance, Load, Noted, Transport};
use super::cache::{Cache, Key};
use super::flights::{Flights, Waiter};
use super::own::{HOST_NAME, LOCALHOST, Own};
use super::rate::Rate;
use super::read::{self, Unread};
use super::record::{Code, Kind};
use super::serve::{self, Plain};
use super::servers::Servers;
use super::siblings::Sibling;
use super::write;

/// The port of the resolver.
const PORT: u16 = 53;

/// What a resolver is told once; servers, siblings and IPv6 may be told anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The host's servers, which are asked where the network names none.
    pub servers: Vec<SocketAddr>,
    /// Whether the host reaches IPv6.
    pub ipv6: bool,
    /// Names that are answered here: the machine's own, `localhost`, the host's.
    pub own_names: Vec<(String, Vec<IpAddr>)>,
    /// Zones below which there are only names of ours, in lower case.
    pub own_zones: Vec<String>,
    /// What the addresses of the machine are.
    pub surroundings: Surroundings,
    /// The networks of siblings, by their first addresses; the one behind is given first.
    pub siblings: (Ipv4Addr, Ipv6Addr),
}

impl Settings {
    /// Returns the settings of a machine in the usual surroundings, without servers and IPv6.
    #[must_use]
    pub fn of_host_name(own: &str) -> Self {
        let surroundings = Surroundings::default();
        let guest = [
            IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2)),
            IpAddr::V6(Ipv6Addr::new(0xfd6d, 0x7362, 0, 0, 0, 0, 0, 2)),
        ];
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let own_names = vec![
            (own.to_owned(), guest.to_vec()),
            (LOCALHOST.to_owned(), loopback.to_vec()),
            (HOST_NAME.to_owned(), surroundings.gateways.to_vec()),
        ];
        let siblings =
            (Ipv4Addr::new(198, 19, 0, 0), Ipv6Addr::new(0xfd6d, 0x7362, 1, 0, 0, 0, 0, 0));
        let (servers, own_zones) = (Vec::new(), Vec::new());
        Self { servers, ipv6: false, own_names, own_zones, surroundings, siblings }
    }
}

/// The resolver of one machine.
#[derive(Debug)]
pub struct Resolver {
    pub(super) host_servers: Vec<SocketAddr>,
    pub(super) ipv6: bool,
    pub(super) surroundings: Surroundings,
    pub(super) chance: Chance,
    pub(super) cache: Cache,
    pub(super) servers: Servers,
    pub(super) flights: Flights,
    own: Own,
    rate: Rate,
}

/// What holds while something is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    /// The rules.
    pub(super) network: &'a Network,
    /// What time it is.
    pub(super) now: Instant,
}

impl Resolver {
    /// Returns a resolver that knows nothing yet.
    #[must_use]
    pub fn new(settings: Settings, chance: Chance) -> Self {
        let names = (settings.own_names, settings.own_zones);
        let own = Own::new(names, settings.surroundings.clone(), settings.siblings);
        Self {
            host_servers: settings.servers,
            ipv6: settings.ipv6,
            surroundings: settings.surroundings,
            chance,
            cache: Cache::new(),
            servers: Servers::default(),
            flights: Flights::default(),
            own,
            rate: Rate::default(),
        }
    }

    /// Takes over the host's servers; with other servers everything known is forgotten.
    pub fn set_servers(&mut self, servers: Vec<SocketAddr>) {
        self.host_servers = servers;
    }

    /// Takes over whether the host reaches IPv6.
    pub fn set_ipv6(&mut self, ipv6: bool) {
        self.ipv6 = ipv6;
    }

    /// Takes over which machines this one may connect to; addresses that were given stay.
    pub fn set_siblings(&mut self, siblings: Vec<Sibling>) {
        self.own.set_siblings(siblings);
    }

    /// Returns the instance of the sibling that an address was given to.
    #[must_use]
    pub fn sibling(&self, address: IpAddr) -> Option<&str> {
        self.own.sibling(address)
    }

    /// Returns the addresses that were given to siblings, by instance.
    pub fn given(&self) -> impl Iterator<Item = (&str, [IpAddr; 2])> {
        self.own.given()
    }

    /// Returns the address of a sibling, by its instance; one that had none is given one. `None`
    /// where there are none left.
    pub fn address_of_sibling(&mut self, instance: &str) -> Option<Ipv4Addr> {
        self.own.address_of(instance)
    }

    /// Returns when [`Resolver::tick`] is due; `None` while nothing is in flight.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.flights.deadline()
    }

    /// Returns how much is held.
    #[must_use]
    pub fn load(&self) -> Load {
        let (cached, cached_bytes) = self.cache.size();
        let (in_flight, waiting) = (self.flights.len(), self.flights.waiting());
        Load { in_flight, waiting, cached, cached_bytes }
    }

    /// Takes a message that the guest sent to port 53.
    pub fn asked(
        &mut self,
        network: &Network,
        asker: Asker,
        message: &[u8],
        now: Instant,
    ) -> Vec<Act> {
        let scene = Scene { network, now };
        let read = read::query(message);
        if !self.rate.take(now) {
            return too_fast(asker, read);
        }
        match read {
            Ok(query) => self.answer(&scene, Waiter { asker, query }),
            Err(Unread::Nothing) => vec![Act::Note(Noted::Malformed)],
            Err(Unread::Bad { id, flags, code }) => {
                let message = write::bad(id, flags, code);
                vec![Act::Note(Noted::Malformed), Act::Answer { asker, message }]
            }
            Err(Unread::Refused(query, code)) => {
                let waiter = Waiter { asker, query };
                vec![Act::Note(Noted::Unsupported), serve::plain(&waiter, Plain::Code(code))]
            }
        }
    }

    fn answer(&mut self, scene: &Scene<'_>, waiter: Waiter) -> Vec<Act> {
        let (question, refused) = (&waiter.query.question, Plain::Code(Code::REFUSED));
        let Some(name) = question.name.text() else {
            return vec![Act::Note(Noted::Malformed), serve::plain(&waiter, refused)];
        };
        if let Some(here) = self.own.say(&name, question.kind, self.ipv6) {
            return vec![serve::here(&waiter, here)];
        }
        if !may_look_up(scene.network, &name) {
            return denied(&waiter, name);
        }
        if question.kind == Kind::AAAA && !self.ipv6 {
            return vec![serve::plain(&waiter, Plain::NoRecords)];
        }
        let list = &scene.network.dns.servers;
        let list = if list.is_empty() { &self.host_servers } else { list };
        if self.servers.follow(list) {
            self.cache.clear();
        }
        let chosen = self.chosen(scene, &waiter.asker);
        let key = Key::of(question, chosen);
        match self.cache.get(&key, scene.now) {
            Some(found) => self.serve(scene, &waiter, &found),
            None => self.ask(scene, key, waiter),
        }
    }

    /// Returns the server that the guest chose, where a rule allows its address; else ours are asked.
    pub(super) fn chosen(&self, scene: &Scene<'_>, asker: &Asker) -> Option<SocketAddr> {
        let protocol = match asker.by {
            Transport::Udp => Protocol::Udp,
            Transport::Tcp => Protocol::Tcp,
        };
        if self.surroundings.gateways.contains(&asker.to.ip()) {
            return None;
        }
        let flow = Flow {
            direction: Direction::Egress,
            remote: self.surroundings.remote(asker.to.ip()),
            protocol,
            port: PORT,
            names: &[],
            sni: None,
        };
        let judged = judge(scene.network, &flow);
        let is_allowed = judged.allowed && matches!(judged.by, By::Rule(_));
        is_allowed.then(|| SocketAddr::new(asker.to.ip(), PORT))
    }
}

/// Says that a name may not be looked up: there is no such name.
pub(super) fn denied(waiter: &Waiter, name: String) -> Vec<Act> {
    vec![Act::Note(Noted::Denied { name }), serve::plain(waiter, Plain::NoName)]
}

/// A datagram too many is lost, and asked again when there is time; on a stream silence would be
/// waited for.
fn too_fast(asker: Asker, read: Result<read::Query, Unread>) -> Vec<Act> {
    let mut acts = vec![Act::Note(Noted::TooFast)];
    let (id, flags) = match read {
        Ok(query) | Err(Unread::Refused(query, _)) => (query.id, query.flags),
        Err(Unread::Bad { id, flags, .. }) => (id, flags),
        Err(Unread::Nothing) => return acts,
    };
    if asker.by == Transport::Tcp {
        acts.push(Act::Answer { asker, message: write::bad(id, flags, Code::REFUSED) });
    }
    acts
}
