//! How the host reaches the world: whom it asks for names, and whether it has a way out by IPv6.
//!
//! Both are looked at again each minute, and the list of servers where its file has another stamp when a
//! question comes.

use std::fs::metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::dns::Resolver;
use crate::host;

/// How often a stamp is looked at, at most.
const GLANCE: Duration = Duration::from_secs(1);

/// Where the host says so, and how often it is read.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Its list of servers.
    pub(crate) resolv: PathBuf,
    /// Its routes by IPv6.
    pub(crate) routes: PathBuf,
    /// How long what was read is believed.
    pub(crate) every: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Outlook {
    settings: Settings,
    stamp: Option<Stamp>,
    glanced: Instant,
    until: Instant,
}

/// What tells one writing of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    bytes: u64,
    changed: (i64, i64),
}

impl Settings {
    /// Returns where this host says so.
    pub(crate) fn of_host() -> Self {
        let (resolv, routes) = (host::RESOLV.into(), host::ROUTES_V6.into());
        Self { resolv, routes, every: Duration::from_secs(60) }
    }
}

impl Outlook {
    /// Looks for the first time at once: what a machine was started with may be old by then.
    pub(super) const fn new(settings: Settings, now: Instant) -> Self {
        Self { settings, stamp: None, glanced: now, until: now }
    }

    /// Returns when it looks again.
    pub(super) const fn deadline(&self) -> Instant {
        self.until
    }

    /// Looks whether the list of servers is another one, unless that was looked at a moment ago.
    pub(super) fn glance(&mut self, resolver: &mut Resolver, now: Instant) {
        if now < self.glanced + GLANCE {
            return;
        }
        self.glanced = now;
        if self.stamp() != self.stamp {
            self.read_servers(resolver);
        }
    }

    /// Reads everything again where it is time.
    pub(super) fn tick(&mut self, resolver: &mut Resolver, now: Instant) {
        if now < self.until {
            return;
        }
        (self.glanced, self.until) = (now, now + self.settings.every);
        self.read_servers(resolver);
        if let Some(ipv6) = host::has_ipv6_in(&self.settings.routes) {
            resolver.set_ipv6(ipv6);
        }
    }

    fn read_servers(&mut self, resolver: &mut Resolver) {
        // What is written while it is read has another stamp the next time.
        self.stamp = self.stamp();
        // Where it cannot be read, the servers that were there last are asked.
        if let Some(servers) = host::name_servers_in(&self.settings.resolv) {
            resolver.set_servers(servers);
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        let file = metadata(&self.settings.resolv).ok()?;
        let changed = (file.ctime(), file.ctime_nsec());
        Some(Stamp { file: (file.dev(), file.ino()), bytes: file.len(), changed })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::SocketAddr;

    use schema::project::network::{Network, Preset};

    use super::*;
    use crate::folder::tests::Scratch;
    use crate::net::dns::{self, Act, Asker, Chance, Transport};

    /// A table of routes with one to everywhere.
    pub(in crate::net) fn way_out() -> String {
        let zeros = "0".repeat(32);
        format!("{zeros} 00 {zeros} 00 {zeros} 00000400 00000001 00000000 00000003 eth0\n")
    }

    /// Returns whom the resolver asks for an address of this kind; `None` where it asks nobody.
    fn asks(resolver: &mut Resolver, (name, kind): (&str, u8), now: Instant) -> Option<SocketAddr> {
        let mut question =
            vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, u8::try_from(name.len()).unwrap()];
        question.extend_from_slice(name.as_bytes());
        question.extend_from_slice(&[3, b'c', b'o', b'm', 0, 0, kind, 0, 1]);
        let to = SocketAddr::from((crate::net::addresses::GATEWAY, 53));
        let asker = Asker { id: 1, by: Transport::Udp, to };
        let network = Network { preset: Preset::Public, ..Network::default() };
        resolver.asked(&network, asker, &question, now).into_iter().find_map(|act| match act {
            Act::Ask { server, .. } => Some(server),
            _ => None,
        })
    }

    /// Writes a file anew.
    pub(in crate::net) fn put(path: &std::path::Path, text: &str) {
        use std::io::Write as _;
        std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn rt_9_17_servers_that_change_are_asked_and_a_way_out_by_ipv6_is_found() {
        let scratch = Scratch::new("outlook");
        let [resolv, routes] = ["resolv.conf", "ipv6_route"].map(|file| scratch.path.join(file));
        let write = |path: &std::path::Path, text: &str| {
            put(&path.with_extension("new"), text);
            std::fs::rename(path.with_extension("new"), path).unwrap();
        };
        let server = |at: &str| Some(SocketAddr::new(at.parse().unwrap(), 53));
        write(&resolv, "nameserver 9.9.9.9\n");
        #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let minute = Duration::from_secs(60);
        let settings = Settings { resolv: resolv.clone(), routes: routes.clone(), every: minute };
        let mut outlook = Outlook::new(settings, begun);
        let chance = Chance::from_fn(|| 7);
        let mut resolver = Resolver::new(dns::Settings::of_host_name("box"), chance);
        outlook.tick(&mut resolver, begun);
        assert_eq!(asks(&mut resolver, ("a", 1), begun), server("9.9.9.9"));
        assert_eq!(outlook.deadline(), at(60));

        // Within the same second nobody looks; then the stamp is another one.
        write(&resolv, "nameserver 8.8.8.8\n");
        outlook.glance(&mut resolver, begun);
        assert_eq!(asks(&mut resolver, ("b", 1), begun), server("9.9.9.9"));
        outlook.glance(&mut resolver, at(1));
        assert_eq!(asks(&mut resolver, ("c", 1), at(1)), server("8.8.8.8"));
        std::fs::remove_file(&resolv).unwrap();
        outlook.glance(&mut resolver, at(2));
        assert_eq!(asks(&mut resolver, ("d", 1), at(2)), server("8.8.8.8"), "the last there were");

        assert_eq!(asks(&mut resolver, ("e", 28), at(2)), None);
        write(&routes, &way_out());
        outlook.tick(&mut resolver, at(59));
        assert_eq!(asks(&mut resolver, ("e", 28), at(59)), None);
        outlook.tick(&mut resolver, at(60));
        assert_eq!(asks(&mut resolver, ("e", 28), at(60)), server("8.8.8.8"));
        write(&routes, "");
        outlook.tick(&mut resolver, at(120));
        assert_eq!(asks(&mut resolver, ("f", 28), at(120)), None);
    }
}
