//! A connection to a machine's relay: frames out, frames in, and who speaks first.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schema::wire::frame::encode_data;
use schema::wire::generation::{self, UnsupportedOperation};
use schema::wire::message::{Error as AgentError, Ready};
use schema::wire::relay::{WELCOME_BYTES, Welcome};
use schema::wire::{DecodeError, Decoder, Frame, FrameError, Kind, Message};
use thiserror::Error;

/// How long a relay may take to say who it is.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(5);

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// Beyond this many unsent bytes nothing more is read from a source.
pub const BACKLOG_BYTES_MAX: usize = 256 * 1024;

/// Why a relay cannot be talked to.
#[derive(Debug, Error)]
pub enum RelayError {
    /// Nobody listens there.
    #[error("cannot connect to the agent at {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// Whoever listens is no relay of ours.
    #[error("the agent's socket does not answer as a relay of msb does")]
    NotARelay,
    /// The connection broke.
    #[error("the connection to the agent broke")]
    Broken(#[source] io::Error),
    /// What came is no frame.
    #[error("the agent's relay sent what is no frame")]
    Frame(#[source] FrameError),
    /// What came is no message of its number.
    #[error("the agent's relay sent a message that cannot be read")]
    Message(#[source] DecodeError),
    /// The relay refused.
    #[error("the agent refused: {}", .0.message)]
    Refused(AgentError),
    /// The agent is gone, and with it every session.
    #[error("the agent was lost while the command ran; how it ended is not known")]
    Lost,
    /// The guest is too old for what was asked.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedOperation),
}

/// See the module.
#[derive(Debug)]
pub struct Relay {
    socket: UnixStream,
    decoder: Decoder,
    unsent: Vec<u8>,
    sent: usize,
    next_session: u32,
    welcome: Welcome,
    ready: Ready,
}

impl Relay {
    /// Connects to the relay at `path` and waits until it has said who it is.
    ///
    /// # Errors
    /// Nobody listens, something else does, or the machine has no room for another client.
    pub fn connect(path: &Path) -> Result<Self, RelayError> {
        let failed = |source| RelayError::Connect { path: path.to_path_buf(), source };
        let mut socket = UnixStream::connect(path).map_err(failed)?;
        socket.set_read_timeout(Some(WELCOME_TIMEOUT)).map_err(failed)?;
        let mut decoder = Decoder::default();
        let mut head = [0; WELCOME_BYTES];
        socket.read_exact(&mut head).map_err(RelayError::Broken)?;
        let Some(welcome) = Welcome::parse(&head) else {
            // A machine that is full says so in a frame and hangs up.
            decoder.push(&head);
            return Err(match read_message(&mut socket, &mut decoder) {
                Ok(Message::Error(error)) => RelayError::Refused(error),
                Ok(_) | Err(_) => RelayError::NotARelay,
            });
        };
        let ready = match read_message(&mut socket, &mut decoder)? {
            Message::Ready(ready) => ready,
            Message::Error(error) => return Err(RelayError::Refused(error)),
            _ => return Err(RelayError::NotARelay),
        };
        socket.set_nonblocking(true).map_err(RelayError::Broken)?;
        let next_session = welcome.first;
        Ok(Self { socket, decoder, unsent: Vec::new(), sent: 0, next_session, welcome, ready })
    }

    /// Returns what the agent said about the guest.
    #[must_use]
    pub const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Opens a session with its first message, and returns its number.
    ///
    /// # Errors
    /// The guest's agent is older than the message, or the client's numbers are used up.
    pub fn open(&mut self, message: &Message) -> Result<u32, RelayError> {
        generation::may_send(message.code(), self.ready.generation)?;
        let session = self.next_session;
        if !self.welcome.holds(session) {
            return Err(RelayError::NotARelay);
        }
        self.next_session += 1;
        self.send(&message.to_frame(session));
        Ok(session)
    }

    /// Puts a frame behind those that wait to be sent.
    pub fn send(&mut self, frame: &Frame) {
        frame.encode(&mut self.unsent);
    }

    /// Puts bytes of a stream behind what waits to be sent.
    pub fn send_data(&mut self, session: u32, stream: u16, bytes: &[u8]) {
        encode_data(session, stream, bytes, &mut self.unsent);
    }

    /// Returns how many bytes wait to be sent.
    #[must_use]
    pub const fn backlog(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Sends what the socket takes now.
    ///
    /// # Errors
    /// The connection broke.
    pub fn flush(&mut self) -> Result<(), RelayError> {
        while self.backlog() > 0 {
            match self.socket.write(&self.unsent[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // A sender that is never done must not keep what was sent long ago.
                    if self.sent > BACKLOG_BYTES_MAX {
                        self.unsent.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(RelayError::Broken(error)),
            }
        }
        self.unsent.clear();
        self.sent = 0;
        Ok(())
    }

    /// Takes what has come, without waiting.
    ///
    /// # Errors
    /// The connection broke or ended.
    pub fn fill(&mut self) -> Result<(), RelayError> {
        let mut bytes = [0; READ_BYTES];
        match self.socket.read(&mut bytes) {
            Ok(0) => Err(RelayError::Lost),
            Ok(count) => {
                self.decoder.push(&bytes[..count]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(RelayError::Lost),
            Err(error) => Err(RelayError::Broken(error)),
        }
    }

    /// Returns the next frame that has come whole.
    ///
    /// # Errors
    /// What came is no frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, RelayError> {
        self.decoder.next_frame().map_err(RelayError::Frame)
    }
}

impl AsFd for Relay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Reads one message, waiting for it.
fn read_message(socket: &mut UnixStream, decoder: &mut Decoder) -> Result<Message, RelayError> {
    loop {
        if let Some(frame) = decoder.next_frame().map_err(RelayError::Frame)? {
            let code = if frame.kind == Kind::Reset { RESET_CODE } else { frame.code };
            return Message::decode(code, &frame.payload).map_err(RelayError::Message);
        }
        let mut bytes = [0; 4096];
        match socket.read(&mut bytes) {
            Ok(0) => return Err(RelayError::Lost),
            Ok(count) => decoder.push(&bytes[..count]),
            Err(error) => return Err(RelayError::Broken(error)),
        }
    }
}

/// A reset carries an `Error`.
pub(crate) const RESET_CODE: u16 = 0x0008;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use schema::wire::message::{Error as Said, ErrorCode};

    use super::*;

    fn answering(name: &str, bytes: Vec<u8>) -> Result<Relay, RelayError> {
        let path = std::env::temp_dir().join(format!("msb-relay-{}-{name}", std::process::id()));
        drop(std::fs::remove_file(&path));
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.write_all(&bytes).unwrap();
        });
        let relay = Relay::connect(&path);
        server.join().unwrap();
        drop(std::fs::remove_file(&path));
        relay
    }

    #[test]
    fn a_relay_says_who_it_is_before_anything_else() {
        let ready = Ready { version: "1".into(), generation: 1, ..Ready::default() };
        let mut bytes = Welcome::of_slot(2).to_bytes().to_vec();
        Message::Ready(ready.clone()).to_frame(0).encode(&mut bytes);
        let relay = answering("ready", bytes).unwrap();
        assert_eq!(relay.ready(), &ready);
        assert_eq!(relay.next_session, Welcome::of_slot(2).first);
    }

    #[test]
    fn a_full_machine_is_told_from_a_stranger() {
        let mut bytes = Vec::new();
        let full = Said::new(ErrorCode::TooManyClients, "128 clients are connected");
        Message::Error(full).to_frame(0).encode(&mut bytes);
        assert!(matches!(answering("full", bytes), Err(RelayError::Refused(_))));
        let stranger = answering("stranger", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
        assert!(matches!(stranger, Err(RelayError::NotARelay)));
    }
}
