//! Takes the descriptors that a runtime is started with to their fixed numbers.
//!
//! The creator sends them over the socket that is our standard input, in one
//! message whose bytes are the numbers as a JSON list. Nothing of this needs
//! code between fork and exec on the other side. See
//! `docs/decisions/descriptor-handover.md`.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, IntoRawFd as _, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::fcntl_dupfd_cloexec;
use thiserror::Error;

use crate::passing;

/// The most descriptors that one message can carry.
const DESCRIPTORS_MAX: usize = 200;

/// The longest list of numbers.
const LIST_BYTES_MAX: usize = 4096;

/// Why the descriptors did not come to their numbers.
#[derive(Debug, Error)]
pub enum HandoverError {
    /// The creator went away, or the message could not be read.
    #[error("cannot receive the descriptors")]
    Receive(#[source] io::Error),
    /// The message is not a list of numbers, one for each descriptor.
    #[error("the list of {numbers} numbers does not fit {descriptors} descriptors")]
    List {
        /// How many numbers there are.
        numbers: usize,
        /// How many descriptors came.
        descriptors: usize,
    },
    /// The kernel gives no copy of a descriptor.
    #[error("cannot place a descriptor at number {number}")]
    Place {
        /// Where it was to be.
        number: i32,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// A number is taken by something that nobody sent.
    #[error("the number {0} of a descriptor is taken")]
    Taken(i32),
    /// The process could not be set apart from its creator's terminal.
    #[error("cannot begin a session of its own")]
    Session(#[source] io::Error),
}

/// Places what the creator sends, leaves its session, and takes the umask of a runtime.
///
/// Where standard input is no socket the descriptors are in place already.
///
/// # Errors
/// The descriptors did not come, or do not fit their numbers.
pub fn take() -> Result<(), HandoverError> {
    let stdin = io::stdin();
    let is_socket = fstat(stdin.as_fd())
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket);
    if !is_socket {
        return Ok(());
    }
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::setsid().map_err(|errno| HandoverError::Session(errno.into()))?;
    let (numbers, descriptors) = receive(stdin.as_fd())?;
    if numbers.len() != descriptors.len() {
        let (numbers, descriptors) = (numbers.len(), descriptors.len());
        return Err(HandoverError::List { numbers, descriptors });
    }
    place(numbers, descriptors)?;
    close_input(stdin.as_fd())
}

fn receive(socket: impl AsFd) -> Result<(Vec<i32>, Vec<OwnedFd>), HandoverError> {
    let (bytes, descriptors) = passing::receive(socket, LIST_BYTES_MAX, DESCRIPTORS_MAX)
        .map_err(HandoverError::Receive)?;
    let numbers =
        serde_json::from_slice(&bytes).map_err(|error| HandoverError::Receive(error.into()))?;
    Ok((numbers, descriptors))
}

/// Moves all aside first, so that no descriptor lies at the number of another.
fn place(numbers: Vec<i32>, descriptors: Vec<OwnedFd>) -> Result<(), HandoverError> {
    let mut aside = Vec::new();
    let beyond = numbers.iter().max().map_or(0, |last| last + 1);
    let failed = |number| {
        move |errno: rustix::io::Errno| HandoverError::Place { number, source: errno.into() }
    };
    for (number, open) in numbers.into_iter().zip(descriptors) {
        let moved = fcntl_dupfd_cloexec(&open, beyond).map_err(failed(number))?;
        aside.push((number, moved));
        drop(open);
    }
    // Whoever started our creator may have left descriptors open that lie in the way.
    let keep: Vec<i32> = aside.iter().map(|(_, open)| open.as_raw_fd()).collect();
    crate::sys::close_others(&keep).map_err(HandoverError::Receive)?;
    for (number, open) in aside {
        // The lowest free number from `number` on is `number` itself, or somebody holds it.
        let placed = fcntl_dupfd_cloexec(&open, number).map_err(failed(number))?;
        let raw = placed.into_raw_fd();
        if raw != number {
            return Err(HandoverError::Taken(number));
        }
    }
    Ok(())
}

/// Puts `/dev/null` in the place of the socket.
fn close_input(input: impl AsFd) -> Result<(), HandoverError> {
    drop(input);
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| HandoverError::Receive(errno.into()))?;
    rustix::stdio::dup2_stdin(null).map_err(|errno| HandoverError::Receive(errno.into()))
}
