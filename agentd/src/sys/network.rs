//! The kernel's routing tables: interfaces, addresses, routes.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use super::check;

/// Returns a socket on which the kernel takes changes of its routing tables, message by message.
pub(crate) fn routing_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: the call takes integers and touches no memory of ours.
    let raw = check(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
    // SAFETY: the kernel has just given us this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
