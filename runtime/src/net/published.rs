//! What is published: which ports of the host lead to which of the guest, and how that changes.

use std::io;
use std::net::SocketAddr;

use schema::launch::{HostPort, Publish};
use schema::project::Transport;
use schema::record::Bound;
use thiserror::Error;

use super::listen::Listener;

/// A port of the host cannot be published on.
#[derive(Debug, Error)]
#[error("cannot publish {address} ({})", protocol.as_str())]
pub(crate) struct PortError {
    /// What was to carry it.
    pub(crate) protocol: Transport,
    /// Where.
    pub(crate) address: SocketAddr,
    /// What the host answered.
    #[source]
    pub(crate) source: io::Error,
}

/// Binds every port; where one cannot be had, the others are given back.
pub(crate) fn bind(ports: &[Publish]) -> Result<Vec<Listener>, PortError> {
    ports.iter().map(bind_one).collect()
}

fn bind_one(port: &Publish) -> Result<Listener, PortError> {
    let at = |host| {
        let address = SocketAddr::new(port.bind, host);
        let failed = |source| PortError { protocol: port.protocol, address, source };
        Listener::bind(port.protocol, address, port.guest).map_err(failed)
    };
    match port.host {
        HostPort::Fixed(host) => at(host),
        HostPort::Auto { last } => {
            let again = last.map(at).and_then(Result::ok);
            again.map_or_else(|| at(0), Ok).map(Listener::chosen)
        }
    }
}

/// How what is published becomes something else.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// What stays, as it is then.
    pub(super) kept: Vec<Bound>,
    /// What is to be bound.
    pub(super) new: Vec<Publish>,
    /// What is published no more.
    pub(super) gone: Vec<Bound>,
}

impl Moves {
    /// Sorts what is published by what is wanted. A port of the host that is wanted again is not let go.
    pub(super) fn between(published: &[Bound], wanted: &[Publish]) -> Self {
        let mut moves = Self { gone: published.to_vec(), ..Self::default() };
        for port in wanted {
            let is_it = |bound: &Bound| {
                (bound.protocol, bound.bind) == (port.protocol, port.bind)
                    && match port.host {
                        HostPort::Fixed(host) => bound.host == host,
                        HostPort::Auto { .. } => bound.auto && bound.guest == port.guest,
                    }
            };
            match moves.gone.iter().position(is_it) {
                Some(at) => {
                    let bound = moves.gone.swap_remove(at);
                    let auto = matches!(port.host, HostPort::Auto { .. });
                    moves.kept.push(Bound { guest: port.guest, auto, ..bound });
                }
                None => moves.new.push(*port),
            }
        }
        moves
    }
}

#[cfg(test)]
mod tests {
    use schema::project::PublishedPort;

    use super::*;

    fn bound(host: u16, guest: u16, auto: bool) -> Bound {
        Bound { bind: PublishedPort::BIND, host, guest, protocol: Transport::Tcp, auto }
    }

    fn wanted(host: HostPort, guest: u16) -> Publish {
        Publish { protocol: Transport::Tcp, bind: PublishedPort::BIND, host, guest }
    }

    #[test]
    fn a_port_that_is_wanted_again_stays_bound() {
        let published = [bound(8080, 80, false), bound(49_210, 81, true), bound(9000, 90, false)];
        let want = [
            wanted(HostPort::Fixed(8080), 8000),
            wanted(HostPort::Auto { last: None }, 81),
            wanted(HostPort::Auto { last: None }, 82),
        ];
        let moves = Moves::between(&published, &want);
        assert_eq!(moves.kept, [bound(8080, 8000, false), bound(49_210, 81, true)]);
        assert_eq!(moves.new, [want[2]]);
        assert_eq!(moves.gone, [bound(9000, 90, false)]);
    }

    #[test]
    fn one_that_was_chosen_can_be_asked_for_by_its_number() {
        let published = [bound(49_210, 80, true)];
        let moves = Moves::between(&published, &[wanted(HostPort::Fixed(49_210), 80)]);
        assert_eq!(moves.kept, [bound(49_210, 80, false)]);
        assert!(moves.new.is_empty() && moves.gone.is_empty());
    }

    #[test]
    fn rt_9_9_a_chosen_port_is_taken_again_while_it_is_free() {
        let first = bind(&[wanted(HostPort::Auto { last: None }, 80)]).unwrap().remove(0);
        let port = first.record();
        assert!(port.auto && port.host != 0);
        let again = wanted(HostPort::Auto { last: Some(port.host) }, 80);
        let other = bind(&[again]).unwrap().remove(0);
        assert_ne!(other.record().host, port.host, "it is taken");
        drop(first);
        assert_eq!(bind(&[again]).unwrap()[0].record(), port);
        let fixed = wanted(HostPort::Fixed(other.record().host), 80);
        let error = bind(&[fixed]).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    }
}
