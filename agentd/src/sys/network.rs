//! The kernel's routing tables, and connections that do not wait for an answer.

use std::io;
use std::mem::size_of;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use super::check;

/// Returns a socket on which the kernel takes changes of its routing tables, message by message.
pub(crate) fn routing_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: the call takes integers and touches no memory of ours.
    let raw = check(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
    // SAFETY: the kernel has just given us this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Begins to connect and returns at once: the socket can be written when the answer is there, which
/// [`TcpStream::take_error`] then tells.
pub(crate) fn connect(peer: SocketAddr) -> io::Result<TcpStream> {
    let (family, name, length) = raw_address(peer);
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the call takes integers and touches no memory of ours.
    let raw = check(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: the kernel has just given us this descriptor; nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    let name = (&raw const name).cast();
    // SAFETY: the name lives through the call and is at least as long as is said.
    match check(unsafe { libc::connect(socket.as_raw_fd(), name, length) }) {
        Ok(_) => Ok(socket.into()),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error),
    }
}

/// An address as the kernel takes it, with room for either family.
#[repr(C)]
union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

fn raw_address(peer: SocketAddr) -> (libc::c_int, Name, libc::socklen_t) {
    let port = peer.port().to_be();
    let (family, name, bytes) = match peer {
        SocketAddr::V4(peer) => {
            let sin_addr = libc::in_addr { s_addr: u32::from_ne_bytes(peer.ip().octets()) };
            let v4 = libc::sockaddr_in {
                sin_family: libc::sa_family_t::try_from(libc::AF_INET).unwrap_or(0),
                sin_port: port,
                sin_addr,
                sin_zero: [0; 8],
            };
            (libc::AF_INET, Name { v4 }, size_of::<libc::sockaddr_in>())
        }
        SocketAddr::V6(peer) => {
            let v6 = libc::sockaddr_in6 {
                sin6_family: libc::sa_family_t::try_from(libc::AF_INET6).unwrap_or(0),
                sin6_port: port,
                sin6_flowinfo: peer.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: peer.ip().octets() },
                sin6_scope_id: peer.scope_id(),
            };
            (libc::AF_INET6, Name { v6 }, size_of::<libc::sockaddr_in6>())
        }
    };
    (family, name, libc::socklen_t::try_from(bytes).unwrap_or(0))
}
