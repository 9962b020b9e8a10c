//! What a guest prints, as a stream that is only read: a socket, or the near end of a terminal.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// See the module.
#[derive(Debug)]
pub struct Console(AsyncFd<OwnedFd>);

impl Console {
    /// Takes the near end of a stream; must be called inside the asynchronous runtime.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn of(end: impl Into<OwnedFd>) -> io::Result<Self> {
        let end = end.into();
        rustix::io::ioctl_fionbio(&end, true)?;
        Ok(Self(crate::sys::watch(end)?))
    }

    /// Waits for the next bytes; none are the end. May be dropped without losing any.
    ///
    /// # Errors
    /// The stream is broken.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            // Where there was nothing after all it is waited for again.
            if let Ok(read) = ready.try_io(|end| read(end.get_ref(), buffer)) {
                return read;
            }
        }
    }

    /// Returns what is there without waiting.
    ///
    /// # Errors
    /// There is nothing yet, or the stream is broken.
    pub fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        read(self.0.get_ref(), buffer)
    }
}

fn read(end: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    match rustix::io::read(end, buffer) {
        // A terminal that nobody holds the far end of any more.
        Err(Errno::IO) => Ok(0),
        read => Ok(read?),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::hypervisor::krun::terminal;

    #[tokio::test]
    async fn both_kinds_of_stream_end_when_nobody_can_print_any_more() {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let (terminal, line) = terminal().unwrap();
        for (near, far) in [(OwnedFd::from(near), OwnedFd::from(far)), (terminal, line)] {
            let console = Console::of(near).unwrap();
            let (mut buffer, mut far) = ([0; 16], std::fs::File::from(far));
            let nothing = console.read_now(&mut buffer).unwrap_err();
            assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
            far.write_all(b"a\nb").unwrap();
            assert_eq!(console.read(&mut buffer).await.unwrap(), 3);
            assert_eq!(&buffer[..3], b"a\nb", "as it was printed");
            drop(far);
            assert_eq!(console.read(&mut buffer).await.unwrap(), 0);
        }
    }
}
