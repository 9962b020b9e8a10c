//! Ports of the host: whether one can be had, and who has it.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};
use schema::failure::Report;
use schema::launch;
use schema::project::{Sandbox, Transport};
use thiserror::Error;

use crate::machines;

/// Why a port cannot be had.
#[derive(Debug, Error)]
#[error("cannot publish {at} ({})", protocol.as_str())]
pub struct Taken {
    protocol: Transport,
    at: SocketAddr,
    #[source]
    source: io::Error,
    holder: Option<Holder>,
}

/// A process that has a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// What it calls itself.
    pub name: String,
}

/// Returns the ports of the host that instance `index` of a sandbox is to have, and no others.
pub fn fixed(want: &Sandbox, index: u32) -> impl Iterator<Item = (Transport, SocketAddr)> {
    let rows = want.ports.iter().filter_map(move |row| row.of_instance(index));
    rows.flat_map(|row| {
        let fixed = row.pairs().filter_map(|(host, _)| host);
        fixed.map(move |host| (row.protocol, SocketAddr::new(row.bind, host)))
    })
}

/// Asks the host for a port, and gives it back at once.
///
/// # Errors
/// It cannot be had.
pub fn look(protocol: Transport, at: SocketAddr) -> Result<(), Taken> {
    let refused = |source| {
        let holder = holder(protocol, at);
        Taken { protocol, at, source, holder }
    };
    try_bind(protocol, at).map_err(refused)
}

/// Binds as a runtime does, and does not listen.
fn try_bind(protocol: Transport, at: SocketAddr) -> io::Result<()> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, number) = match protocol {
        Transport::Tcp => (SocketType::STREAM, ipproto::TCP),
        Transport::Udp => (SocketType::DGRAM, ipproto::UDP),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(number))?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Transport::Tcp {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    Ok(bind(&socket, &at)?)
}

impl Taken {
    /// Returns the machine whose runtime has the port.
    #[must_use]
    pub fn machine(&self, home: &Path) -> Option<launch::Machine> {
        machines::of_runtime(home, self.holder.as_ref()?.pid)
    }

    /// Returns who has the port, for people.
    #[must_use]
    pub fn note(&self, home: &Path) -> Option<String> {
        let Holder { pid, name } = self.holder.as_ref()?;
        Some(match self.machine(home) {
            Some(machine) => format!("{} publishes it", machines::named(&machine)),
            None => format!("{name}, pid {pid}, has it"),
        })
    }

    /// Returns the failure as it is told.
    #[must_use]
    pub fn report(&self, home: &Path) -> Report {
        let told = Report::of_port(self, self.source.kind());
        Report { notes: self.note(home).into_iter().collect(), ..told }
    }
}

/// Returns who has a port, where `/proc` tells: of another user's processes it does not.
#[must_use]
pub fn holder(protocol: Transport, at: SocketAddr) -> Option<Holder> {
    let inodes = inodes(protocol, at);
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let pid = numbers.find(|pid: &u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut links = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        links.any(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Holder { pid, name: name.trim_end().to_owned() })
}

/// The state of a TCP socket that listens, and of a UDP socket that has no peer.
const LISTENS: &str = "0A";
const HAS_NO_PEER: &str = "07";

/// Returns the sockets that stand in the way of a port, as links of descriptors name them.
fn inodes(protocol: Transport, at: SocketAddr) -> Vec<String> {
    let (tables, state) = match protocol {
        Transport::Tcp => (["tcp", "tcp6"], LISTENS),
        Transport::Udp => (["udp", "udp6"], HAS_NO_PEER),
    };
    let read = |table| fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
    let tables = tables.map(read);
    let rows = tables.iter().flat_map(|text| text.lines().skip(1));
    rows.filter_map(|row| {
        let fields: Vec<&str> = row.split_ascii_whitespace().collect();
        let [_, local, _, has, _, _, _, _, _, inode, ..] = fields[..] else { return None };
        let bound = address(local)?;
        let is_it = has == state && bound.port() == at.port() && overlap(bound.ip(), at.ip());
        is_it.then(|| format!("socket:[{inode}]"))
    })
    .collect()
}

fn overlap(one: IpAddr, other: IpAddr) -> bool {
    // A socket of IPv6 may take calls of IPv4 as well; the table does not say.
    one == other
        || one.is_unspecified()
        || (other.is_unspecified() && one.is_ipv4() == other.is_ipv4())
}

/// Reads an address as the kernel's tables write it: words as they lie in memory, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let text = ip.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn r13_a_taken_port_tells_who_has_it() {
        for bound in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            let listener = TcpListener::bind(bound).unwrap();
            let at = listener.local_addr().unwrap();
            let taken = look(Transport::Tcp, at).unwrap_err();
            let holder = taken.holder.as_ref().expect("this process is seen");
            assert_eq!(holder.pid, std::process::id(), "{bound}");
            let report = taken.report(Path::new("/nowhere"));
            assert_eq!(report.code, "msb::ports::in-use");
            assert!(report.notes[0].contains(&holder.name), "{report:?}");
            look(Transport::Udp, at).unwrap();
            drop(listener);
            look(Transport::Tcp, at).unwrap();
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let taken = look(Transport::Udp, socket.local_addr().unwrap()).unwrap_err();
        assert_eq!(taken.holder.map(|holder| holder.pid), Some(std::process::id()));
    }

    #[test]
    fn an_address_that_is_not_the_hosts_is_told_apart() {
        let taken = look(Transport::Tcp, "192.0.2.1:8080".parse().unwrap()).unwrap_err();
        assert_eq!(taken.report(Path::new("/nowhere")).code, "msb::ports::no-address");
        assert!(taken.note(Path::new("/nowhere")).is_none());
    }

    #[test]
    fn a_row_of_the_kernel_is_an_address() {
        let read = |text| address(text).map(|at| at.to_string());
        assert_eq!(read("0100007F:1F90").as_deref(), Some("127.0.0.1:8080"));
        let loopback = "00000000000000000000000001000000:0050";
        assert_eq!(read(loopback).as_deref(), Some("[::1]:80"));
        assert_eq!(read("0100:1F90"), None);
    }
}
