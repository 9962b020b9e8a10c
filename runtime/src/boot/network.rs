//! The network of a machine before there is a machine: its ports are bound, its stack waits.

use std::os::unix::net::UnixStream;

use schema::launch::{LaunchRecord, Link};

use super::BootError;
use super::prepared::Sockets;
use crate::clock::HostClock;
use crate::folder::Folder;
use crate::host;
use crate::net::peers::{self, Own, Reach};
use crate::net::{self, Listener, Net, Settings, dns, outlook};

/// See the module.
#[derive(Debug)]
pub(super) struct Network {
    link: Link,
    hostname: String,
    listeners: Vec<Listener>,
    peers: peers::Settings,
}

/// Binds every published port of a machine; `None` where it has no network. Where one cannot be bound
/// the others are given back.
pub(super) fn network(
    launch: &LaunchRecord,
    folder: &Folder,
    sockets: &mut Sockets,
) -> Result<Option<Network>, BootError> {
    let (Some(link), Some(socket)) = (launch.network.link(), sockets.peer.take()) else {
        return Ok(None);
    };
    let listeners = net::bind(&link.ports)?;
    let hostname = launch.guest.hostname.clone();
    let own = Own::of(&launch.machine, &hostname);
    let why = || format!("`{}` is no name of a sandbox", launch.machine.sandbox);
    let peers = peers::Settings {
        own: own.ok_or_else(|| BootError::Launch { why: why() })?,
        reach: Reach::of(link),
        folder: folder.fd().try_clone_to_owned().map_err(failed("the machine's folder"))?,
        socket,
    };
    Ok(Some(Network { link: link.clone(), hostname, listeners, peers }))
}

impl Network {
    /// Starts the stack at the far end of the machine's wire.
    pub(super) fn start(self, link: UnixStream) -> Result<Net, BootError> {
        let mut names = dns::Settings::of_host_name(&self.hostname);
        names.servers = host::name_servers();
        names.ipv6 = host::has_ipv6();
        names.own_zones.push(self.peers.own.zone());
        let failed = failed("the network");
        let settings = Settings {
            link,
            mac: self.link.mac.0,
            policy: self.link.policy,
            listeners: self.listeners,
            names,
            outlook: outlook::Settings::of_host(),
            peers: self.peers,
            seed: u64::from_ne_bytes(crate::sys::random().map_err(failed)?),
        };
        Net::start(settings, HostClock).map_err(failed)
    }
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> BootError + Copy {
    move |source| BootError::Folder { what: what.into(), source }
}
