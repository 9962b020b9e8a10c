//! Bytes and descriptors through a socket, one message at a time.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Sends bytes, and copies of descriptors along with them.
///
/// # Errors
/// Nobody takes them, or they are more than one message holds.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], along: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = vec![MaybeUninit::uninit(); SendAncillaryMessage::ScmRights(along).size()];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !along.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(along)) {
        return Err(Errno::TOOBIG.into());
    }
    let parts = [IoSlice::new(bytes)];
    retry_on_intr(|| sendmsg(&socket, &parts, &mut ancillary, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Returns the bytes of the next message, and the descriptors that came with it; no bytes are the end.
///
/// # Errors
/// The socket is broken.
pub(crate) fn receive(
    socket: impl AsFd,
    bytes_max: usize,
    descriptors_max: usize,
) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; bytes_max];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(descriptors_max))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let message =
        retry_on_intr(|| recvmsg(&socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC))?;
    let rights = ancillary.drain().filter_map(|part| match part {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    });
    let descriptors = rights.flatten().collect();
    bytes.truncate(message.bytes);
    Ok((bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn bytes_and_descriptors_come_together_and_nothing_is_the_end() {
        let (near, far) = UnixStream::pair().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        send(&near, b"two", &[reader.as_fd(), writer.as_fd()]).unwrap();
        let (bytes, descriptors) = receive(&far, 16, 4).unwrap();
        assert_eq!((bytes.as_slice(), descriptors.len()), (&b"two"[..], 2));
        drop((writer, descriptors));
        // Copies only: with the last of them the pipe is at its end.
        assert_eq!({ reader }.read(&mut [0]).unwrap(), 0);
        send(&near, b"none", &[]).unwrap();
        assert_eq!(receive(&far, 16, 4).unwrap().1.len(), 0);
        drop(near);
        assert_eq!(receive(&far, 16, 4).unwrap().0, b"");
    }
}
