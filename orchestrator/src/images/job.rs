//! What the builder is asked, what it answers, and how descriptors reach it.
//!
//! Both travel over one socket pair, which is the builder's standard input:
//! first the job as JSON behind its length, then the descriptors in groups,
//! each with one byte; back comes one answer as JSON, and the end.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// How many descriptors travel together.
const GROUP: usize = 32;
/// The longest job: 128 layers with two digests each fit many times.
const JOB_BYTES_MAX: u32 = 1 << 20;

/// An image to build. The descriptors are the output, then a blob, an empty spool and
/// a recipe for each layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The layers from the bottom up.
    pub(crate) layers: Vec<JobLayer>,
    /// The size of all layers as they are stored.
    pub(crate) stored_bytes: u64,
    /// What tells the image from others.
    pub(crate) uuid: [u8; 16],
}

/// One layer of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobLayer {
    /// Whether it is put together from a root, by a recipe.
    pub(crate) is_rebuilt: bool,
    /// The digest of the stored bytes, if they are to be checked again.
    pub(crate) digest: Option<String>,
    /// The digest of the tar, if it is to be checked.
    pub(crate) diff_id: Option<String>,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// The image is written.
    Built {
        /// Its size.
        bytes: u64,
        /// How many attributes were left out.
        dropped_xattrs: u64,
    },
    /// A layer is not what its digest says.
    Damaged(String),
    /// A layer is broken or not allowed.
    Refused(String),
    /// The host did not let it finish.
    Failed(String),
}

/// Sends a job and its descriptors.
pub(crate) fn send(
    mut socket: &UnixStream,
    job: &Job,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let body = serde_json::to_vec(job)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    socket.write_all(&length.to_be_bytes())?;
    socket.write_all(&body)?;
    for group in descriptors.chunks(GROUP) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(GROUP))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(group)) {
            return Err(io::Error::other("descriptors do not fit a message"));
        }
        sendmsg(socket, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Receives a job and its descriptors.
pub(crate) fn receive(mut socket: &UnixStream) -> io::Result<(Job, Vec<OwnedFd>)> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > JOB_BYTES_MAX {
        return Err(io::Error::other("the job is too long"));
    }
    let mut body = vec![0; length as usize];
    socket.read_exact(&mut body)?;
    let job: Job = serde_json::from_slice(&body)?;
    let wanted = 1 + 3 * job.layers.len();
    let mut descriptors = Vec::with_capacity(wanted);
    while descriptors.len() < wanted {
        let before = descriptors.len();
        receive_group(socket, &mut descriptors)?;
        if descriptors.len() == before {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((job, descriptors))
}

fn receive_group(socket: &UnixStream, descriptors: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(GROUP))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_job_of_many_layers_arrives_with_its_descriptors() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let layer = JobLayer { is_rebuilt: false, digest: None, diff_id: Some("sha256:0".into()) };
        let job = Job { layers: vec![layer; 100], stored_bytes: 7, uuid: [1; 16] };
        let file = std::fs::File::open("/dev/null").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| send(&ours, &job, &[file.as_fd(); 301]).unwrap());
            let (received, descriptors) = receive(&theirs).unwrap();
            assert_eq!(received, job);
            assert_eq!(descriptors.len(), 301);
        });
    }
}
