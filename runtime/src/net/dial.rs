//! The host's sockets towards the world.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with, sockopt};
use schema::policy::Remote;
use schema::project::network::Group;

/// What a dial came to at once.
#[derive(Debug)]
pub(super) enum Dialled {
    /// The socket tells when it is connected.
    Soon(OwnedFd),
    /// Nobody listens there.
    Refused,
    /// There is no way there.
    Unreachable,
}

/// Returns where a far end lies for the host: the gateway's own ports are those of its loopback.
pub(super) fn place(remote: SocketAddr) -> SocketAddr {
    if Remote::at(remote.ip()).group() != Some(Group::Host) {
        return remote;
    }
    match remote {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, remote.port())),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, remote.port())),
    }
}

/// Begins to connect by TCP.
pub(super) fn tcp(remote: SocketAddr) -> Dialled {
    let begun = open(remote, SocketType::STREAM).and_then(|socket| {
        // What the guest sends as one goes out as one.
        sockopt::set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &place(remote)) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
            Err(errno) => Err(errno),
        }
    });
    match begun {
        Ok(socket) => Dialled::Soon(socket),
        Err(Errno::CONNREFUSED) => Dialled::Refused,
        Err(_) => Dialled::Unreachable,
    }
}

/// Returns a socket for datagrams to one far end.
pub(super) fn udp(remote: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = open(remote, SocketType::DGRAM)?;
    connect(&socket, &place(remote))?;
    Ok(socket)
}

/// Returns a socket for a question to a server, as the host itself would ask it.
pub(super) fn server(server: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = open(server, SocketType::DGRAM)?;
    connect(&socket, &server)?;
    Ok(socket)
}

fn open(remote: SocketAddr, kind: SocketType) -> Result<OwnedFd, Errno> {
    let family = if remote.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let protocol = if kind == SocketType::STREAM { ipproto::TCP } else { ipproto::UDP };
    socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, Some(protocol))
}
