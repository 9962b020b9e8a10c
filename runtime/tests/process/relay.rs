//! A client of `agent.sock`.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use schema::wire::message::{Done, Exec, Exited, OnGone, StdinMode};
use schema::wire::relay::{WELCOME_BYTES, Welcome};
use schema::wire::{Decoder, Frame, Kind, Message};

use crate::house::{House, PATIENCE};

/// A connection that was greeted.
pub(crate) struct Client {
    stream: UnixStream,
    decoder: Decoder,
    next: u32,
    /// The range of its ids.
    pub(crate) welcome: Welcome,
}

/// What a command left.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Its standard output.
    pub(crate) out: Vec<u8>,
    /// Its standard error.
    pub(crate) err: Vec<u8>,
    /// How it ended; `None` where it was not run.
    pub(crate) exited: Option<Exited>,
    /// Every other message of its session.
    pub(crate) messages: Vec<Message>,
}

/// Returns the wish to run a command.
pub(crate) fn exec(argv: &[&str]) -> Exec {
    Exec {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: vec![],
        cwd: None,
        user: None,
        tty: None,
        stdin: StdinMode::None,
        rlimits: vec![],
        on_gone: OnGone::Kill,
        log: false,
        name: None,
    }
}

impl Client {
    /// Connects, and reads the welcome and the agent's `Ready`.
    pub(crate) fn connect(house: &House) -> Self {
        let mut stream = UnixStream::connect(house.folder.join("agent.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = [0; WELCOME_BYTES];
        stream.read_exact(&mut bytes).unwrap();
        let welcome = Welcome::parse(&bytes).unwrap();
        let next = welcome.first;
        let mut client = Self { stream, decoder: Decoder::default(), next, welcome };
        let ready = client.frame().unwrap();
        assert!(matches!(Message::decode(ready.code, &ready.payload), Ok(Message::Ready(_))));
        client
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, frame: &Frame) {
        self.stream.write_all(&frame.to_bytes()).unwrap();
    }

    /// Returns the next frame, `None` at the end.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes).unwrap() {
                0 => return None,
                count => self.decoder.push(&bytes[..count]),
            }
        }
    }

    /// Opens a session for a command.
    pub(crate) fn open(&mut self, exec: Exec) -> u32 {
        let id = self.next;
        self.next += 1;
        self.send(&Message::Exec(exec).to_frame(id));
        id
    }

    /// Opens a session with any message.
    pub(crate) fn open_with(&mut self, message: impl Into<Message>) -> u32 {
        let id = self.next;
        self.next += 1;
        self.send(&message.into().to_frame(id));
        id
    }

    /// Runs a command to both last words, granting what it reads.
    pub(crate) fn run(&mut self, exec: Exec) -> Left {
        let id = self.open(exec);
        self.finish(id)
    }

    /// Reads a session to its end.
    pub(crate) fn finish(&mut self, id: u32) -> Left {
        let mut left = Left::default();
        loop {
            let frame = self.frame().expect("the session ends before the channel does");
            assert_eq!(frame.session, id);
            match frame.kind {
                Kind::Data => {
                    let count = u32::try_from(frame.payload.len()).unwrap();
                    self.send(&Frame::credit(id, frame.code, count));
                    let into = if frame.code == 0 { &mut left.out } else { &mut left.err };
                    into.extend(frame.payload);
                }
                Kind::Credit => {}
                Kind::Reset => return left,
                Kind::Message => match Message::decode(frame.code, &frame.payload).unwrap() {
                    Message::Done(_) => {
                        self.send(&Message::Done(Done {}).to_frame(id));
                        return left;
                    }
                    Message::Exited(exited) => left.exited = Some(exited),
                    Message::Started(_) => {}
                    other => {
                        let is_last = matches!(other, Message::Error(_));
                        left.messages.push(other);
                        if is_last {
                            return left;
                        }
                    }
                },
            }
        }
    }
}
