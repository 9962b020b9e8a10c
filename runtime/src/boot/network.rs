//! The network of a machine before there is a machine: its ports are bound, its stack waits.

use std::os::unix::net::UnixStream;

use schema::launch::{LaunchRecord, Link};

use super::BootError;
use crate::clock::HostClock;
use crate::host;
use crate::net::{self, Listener, Net, Settings, dns};

/// See the module.
#[derive(Debug)]
pub(super) struct Network {
    link: Link,
    hostname: String,
    listeners: Vec<Listener>,
}

/// Binds every published port of a machine; `None` where it has no network. Where one cannot be bound
/// the others are given back.
pub(super) fn network(launch: &LaunchRecord) -> Result<Option<Network>, BootError> {
    let Some(link) = launch.network.link() else { return Ok(None) };
    let listeners = net::bind(&link.ports)?;
    let hostname = launch.guest.hostname.clone();
    Ok(Some(Network { link: link.clone(), hostname, listeners }))
}

impl Network {
    /// Starts the stack at the far end of the machine's wire.
    pub(super) fn start(self, link: UnixStream) -> Result<Net, BootError> {
        let mut names = dns::Settings::of_host_name(&self.hostname);
        names.servers = host::name_servers();
        names.ipv6 = host::has_ipv6();
        let failed = |source| BootError::Folder { what: "the network".into(), source };
        let settings = Settings {
            link,
            mac: self.link.mac.0,
            policy: self.link.policy,
            listeners: self.listeners,
            names,
            seed: u64::from_ne_bytes(crate::sys::random().map_err(failed)?),
        };
        Net::start(settings, HostClock).map_err(failed)
    }
}
