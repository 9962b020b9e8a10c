//! Who is asked: servers in their order, and which of them failed a moment ago.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Servers that are asked at most.
pub(super) const SERVERS_MAX: usize = 16;

/// How long a server that failed is asked only if no other is left.
pub(super) const REST: Duration = Duration::from_secs(10);

/// Servers in their order.
#[derive(Debug, Default)]
pub(super) struct Servers {
    list: Vec<Server>,
}

#[derive(Clone, Copy, Debug)]
struct Server {
    at: SocketAddr,
    rests: Option<Instant>,
}

impl Servers {
    /// Takes over a list; tells whether it is another one than before.
    pub(super) fn follow(&mut self, list: &[SocketAddr]) -> bool {
        let list = list.get(..SERVERS_MAX).unwrap_or(list);
        let is_same = self.list.iter().map(|server| &server.at).eq(list);
        if !is_same {
            self.list = list.iter().map(|at| Server { at: *at, rests: None }).collect();
        }
        !is_same
    }

    /// Returns who is asked next: the first that was not tried and does not rest, else the first
    /// that was not tried.
    pub(super) fn next(&self, tried: &[SocketAddr], now: Instant) -> Option<SocketAddr> {
        let left = || self.list.iter().filter(|server| !tried.contains(&server.at));
        let awake = left().find(|server| server.rests.is_none_or(|until| until <= now));
        awake.or_else(|| left().next()).map(|server| server.at)
    }

    /// Lets a server rest.
    pub(super) fn failed(&mut self, at: SocketAddr, now: Instant) {
        self.set(at, Some(now + REST));
    }

    /// Wakes a server that has answered.
    pub(super) fn answered(&mut self, at: SocketAddr) {
        self.set(at, None);
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    fn set(&mut self, at: SocketAddr, rests: Option<Instant>) {
        for server in self.list.iter_mut().filter(|server| server.at == at) {
            server.rests = rests;
        }
    }
}
