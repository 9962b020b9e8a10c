//! One TCP connection from inside the guest and its conversation with the client.
//!
//! ```text
//! TcpOpen ─▶ calling ─TcpOpened─▶ open ─ends of both directions, Done─▶ said
//!               └───TcpFailed, Done───────────────────────────────────▶ said
//! ```

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::BorrowedFd;

use schema::wire::message::{Done, Error, ErrorCode, TcpFailed, TcpFailure, TcpOpen, TcpOpened};
use schema::wire::{Frame, STREAM_MAIN};

use super::input::Input;
use super::output::Output;
use crate::channel::Channel;
use crate::sys;

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// The other end has not answered yet.
    Calling,
    /// Bytes go both ways.
    Open,
    /// Everything was said; the client has not answered yet.
    Said,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Forward {
    id: u32,
    peer: SocketAddr,
    life: Life,
    socket: TcpStream,
    input: Input,
    output: Output,
    /// The other end was told that nothing more comes.
    is_shut: bool,
    has_client_said_all: bool,
}

impl Forward {
    /// Begins to connect; what became of it is known once the socket can be written.
    pub(crate) fn open(id: u32, open: &TcpOpen) -> Result<Self, TcpFailed> {
        let address: IpAddr = open.host.parse().map_err(|_| TcpFailed {
            kind: TcpFailure::Name,
            errno: 0,
            detail: format!("`{}` is no address", open.host),
        })?;
        let peer = SocketAddr::new(address, open.port);
        let socket = sys::network::connect(peer).map_err(|error| failed(&error))?;
        let ends = socket.try_clone().and_then(|input| Ok((input, socket.try_clone()?)));
        let (input, output) = ends.map_err(|error| failed(&error))?;
        Ok(Self {
            id,
            peer,
            life: Life::Calling,
            socket,
            input: Input::new(Some(input.into()), false),
            output: Output::new(STREAM_MAIN, output.into()),
            is_shut: false,
            has_client_said_all: false,
        })
    }

    /// Tells whether the agent has said everything.
    pub(crate) fn has_said_all(&self) -> bool {
        self.life == Life::Said
    }

    /// Tells whether the client has said everything, too.
    pub(crate) const fn has_client_said_all(&self) -> bool {
        self.has_client_said_all
    }

    /// Returns what to wait for until it can be written: the answer, or room for what waits.
    pub(crate) fn input_fd(&self) -> Option<BorrowedFd<'_>> {
        use std::os::fd::AsFd as _;
        match self.life {
            Life::Calling => Some(self.socket.as_fd()),
            Life::Open => self.input.wants_write(),
            Life::Said => None,
        }
    }

    /// Returns what to wait for until it can be read.
    pub(crate) fn output_fd(&self) -> Option<BorrowedFd<'_>> {
        if self.life == Life::Open { self.output.wants_read() } else { None }
    }

    /// Hears the answer to the call, or writes what waits.
    pub(crate) fn pump_input(&mut self, channel: &mut Channel) {
        if self.life == Life::Calling {
            return self.hear_answer(channel);
        }
        if let Some(bytes) = self.input.pump() {
            channel.send(&Frame::credit(self.id, STREAM_MAIN, bytes));
        }
        if self.input.has_ended() && !self.is_shut {
            self.is_shut = true;
            // One that the other end has closed already needs no word.
            self.socket.shutdown(Shutdown::Write).ok();
        }
    }

    /// Reads once and sends it on.
    pub(crate) fn pump_output(&mut self, channel: &mut Channel, buffer: &mut [u8]) {
        self.output.pump(self.id, channel, buffer);
    }

    /// Takes bytes for the other end.
    ///
    /// # Errors
    /// They may not be sent.
    pub(crate) fn hear_data(&mut self, frame: &Frame, channel: &mut Channel) -> Result<(), Error> {
        if frame.code != STREAM_MAIN {
            let text = format!("a connection has no stream {}", frame.code);
            return Err(Error::new(ErrorCode::BadMessage, text));
        }
        self.input
            .receive(&frame.payload)
            .map_err(|beyond| Error::new(ErrorCode::BeyondCredit, beyond.to_string()))?;
        if frame.is_end() {
            self.input.end();
        }
        if self.life == Life::Open {
            self.pump_input(channel);
        }
        Ok(())
    }

    /// Takes a grant.
    pub(crate) fn hear_credit(&mut self, frame: &Frame) {
        if frame.code == STREAM_MAIN {
            self.output.grant(frame.granted());
        }
    }

    /// Takes note that the client has said everything.
    pub(crate) fn hear_done(&mut self, channel: &mut Channel) {
        self.has_client_said_all = true;
        self.input.end();
        if self.life == Life::Open {
            self.pump_input(channel);
        }
    }

    /// Says the last word once both directions have ended.
    pub(crate) fn settle(&mut self, channel: &mut Channel) {
        if self.life == Life::Open && self.output.has_ended() && self.input.has_ended() {
            self.say_done(channel);
        }
    }

    fn hear_answer(&mut self, channel: &mut Channel) {
        match self.socket.take_error() {
            Ok(None) => {
                self.life = Life::Open;
                channel.say(self.id, TcpOpened { peer: self.peer.to_string() });
                self.pump_input(channel);
            }
            Ok(Some(error)) | Err(error) => {
                channel.say(self.id, failed(&error));
                self.say_done(channel);
            }
        }
    }

    fn say_done(&mut self, channel: &mut Channel) {
        channel.say(self.id, Done {});
        self.input.close();
        drop(self.output.take());
        self.life = Life::Said;
    }
}

/// Returns what the kernel said of a connection as the client is told it.
fn failed(error: &io::Error) -> TcpFailed {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => TcpFailure::Refused,
        io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::AddrNotAvailable => TcpFailure::Unreachable,
        io::ErrorKind::TimedOut => TcpFailure::Timeout,
        io::ErrorKind::PermissionDenied => TcpFailure::Denied,
        _ => TcpFailure::Other,
    };
    TcpFailed { kind, errno: error.raw_os_error().unwrap_or(0), detail: error.to_string() }
}
