//! A connection to a runtime's control socket.

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use schema::control::{Answer, Call, FORMAT, MESSAGE_BYTES_MAX, Reply, Request, SOCKET};
use schema::failure::Report;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::Folder;
use super::process::LookError;

/// How long a runtime may take to say who it is.
const HELLO_MAX: Duration = Duration::from_secs(10);

/// How much of an answer is read at once; most are shorter.
const ANSWER_BYTES: usize = 2048;

/// A connection to a runtime.
#[derive(Debug)]
pub struct Control {
    stream: UnixStream,
    requests: u64,
    /// What came of an answer that is not whole yet.
    came: Vec<u8>,
}

/// Why a runtime did not answer as it should.
#[derive(Debug, Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("cannot reach the machine's runtime at {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the machine's runtime broke")]
    Broken(#[source] io::Error),
    /// The runtime has ended.
    #[error("the machine's runtime has ended")]
    Ended,
    /// It did not say who it is in time.
    #[error("the machine's runtime does not answer")]
    Deaf,
    /// Another machine answers.
    #[error("another machine answers where {expected} was expected")]
    Stranger {
        /// The id that was expected.
        expected: String,
    },
    /// It refused.
    #[error("{}", .0.message)]
    Refused(Box<Report>),
    /// It answered something else.
    #[error("the machine's runtime gave an answer that does not fit the question")]
    Unexpected,
    /// Its record could not be read.
    #[error(transparent)]
    Look(#[from] LookError),
    /// It said that it ends, and does not.
    #[error("the runtime with pid {pid} lives on after its machine has ended")]
    LivesOn {
        /// Its process id.
        pid: u32,
    },
}

impl Control {
    /// Connects to the runtime of a machine and checks that it is this very launch.
    pub(super) async fn connect(
        folder: &Folder,
        id: &str,
        nonce: &str,
    ) -> Result<Self, ControlError> {
        let path = folder.file(SOCKET);
        let failed = |source| ControlError::Connect { path: path.clone(), source };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::open(folder.path(), flags, Mode::empty())
            .map_err(|errno| failed(errno.into()))?;
        // Socket addresses are short; a path through the open folder always fits.
        let short = format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd());
        let stream = UnixStream::connect(short).await.map_err(failed)?;
        // Who keeps a thousand connections is not to hold as many folders while they say hello.
        drop(open);
        let mut control = Self { stream, requests: 0, came: Vec::new() };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let hello = control.call(Call::Hello { format: FORMAT, version });
        match tokio::time::timeout(HELLO_MAX, hello).await {
            Err(_) => Err(ControlError::Deaf),
            Ok(Ok(Reply::Hello { machine, nonce: theirs, .. })) => {
                if machine == id && theirs == nonce {
                    Ok(control)
                } else {
                    Err(ControlError::Stranger { expected: id.to_owned() })
                }
            }
            Ok(Ok(_)) => Err(ControlError::Unexpected),
            Ok(Err(error)) => Err(error),
        }
    }

    /// Asks and waits for the answer; events in between are passed over.
    ///
    /// # Errors
    /// The runtime refuses, has ended, or answers something else.
    pub async fn call(&mut self, call: Call) -> Result<Reply, ControlError> {
        let id = self.send(call).await?;
        self.answer_to(id).await
    }

    /// Waits for the answer to a question that was sent; whoever does not wait to the end loses
    /// nothing, and can wait again.
    async fn answer_to(&mut self, id: u64) -> Result<Reply, ControlError> {
        loop {
            if let Some(answer) = meant(self.answer().await?, id) {
                return answer;
            }
        }
    }

    /// Asks and waits for nothing; returns the number of the question.
    ///
    /// # Errors
    /// The runtime has ended.
    pub async fn send(&mut self, call: Call) -> Result<u64, ControlError> {
        self.requests += 1;
        let id = self.requests;
        let frame = framed(id, call)?;
        self.stream.write_all(&frame).await.map_err(lost)?;
        Ok(id)
    }

    /// Waits until the runtime closes the connection, which it does when it ends.
    pub async fn until_end(&mut self) {
        while self.answer().await.is_ok() {}
    }

    /// Returns the next answer; a part of one is kept until the rest of it comes.
    async fn answer(&mut self) -> Result<Answer, ControlError> {
        loop {
            if let Some(answer) = whole(&mut self.came)? {
                return Ok(answer);
            }
            self.came.reserve(ANSWER_BYTES);
            if self.stream.read_buf(&mut self.came).await.map_err(lost)? == 0 {
                return Err(ControlError::Ended);
            }
        }
    }

    /// Returns the connection as one that nobody is woken by.
    ///
    /// # Errors
    /// The event loop does not let go of it.
    pub fn quiet(self) -> Result<Quiet, ControlError> {
        let Self { stream, requests, came } = self;
        let stream = stream.into_std().map_err(ControlError::Broken)?;
        Ok(Quiet { stream, requests, came })
    }
}

/// A connection that nothing waits on: whoever keeps a thousand looks when it is time, and is not
/// woken a thousand times.
#[derive(Debug)]
pub struct Quiet {
    /// It never waits.
    stream: std::os::unix::net::UnixStream,
    requests: u64,
    came: Vec<u8>,
}

impl Quiet {
    /// Asks, without waiting; returns the number of the question.
    ///
    /// # Errors
    /// The runtime has ended, or takes nothing more.
    pub fn send(&mut self, call: Call) -> Result<u64, ControlError> {
        self.requests += 1;
        let id = self.requests;
        let mut left = &framed(id, call)?[..];
        while !left.is_empty() {
            let sent = rustix::net::send(&self.stream, left, SendFlags::NOSIGNAL);
            match sent {
                Ok(count) => left = left.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(lost(errno.into())),
            }
        }
        Ok(id)
    }

    /// Returns the answer to a question, where it has come; what came before it is passed over.
    ///
    /// # Errors
    /// The runtime refuses, has ended, or answers something else.
    pub fn answer_to(&mut self, id: u64) -> Result<Option<Reply>, ControlError> {
        loop {
            while let Some(answer) = whole(&mut self.came)? {
                if let Some(answer) = meant(answer, id) {
                    return answer.map(Some);
                }
            }
            self.came.reserve(ANSWER_BYTES);
            let room = rustix::buffer::spare_capacity(&mut self.came);
            match rustix::net::recv(&self.stream, room, RecvFlags::empty()) {
                Ok((0, _)) => return Err(ControlError::Ended),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    spare(&mut self.came);
                    return Ok(None);
                }
                Err(errno) => return Err(lost(errno.into())),
            }
        }
    }

    /// Tells whether the runtime has closed the connection.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match rustix::net::recv(&self.stream, &mut [0], RecvFlags::PEEK) {
            Ok((count, _)) => count == 0,
            Err(Errno::AGAIN | Errno::INTR) => false,
            Err(_) => true,
        }
    }
}

/// Gives back a buffer that holds nothing: who keeps a thousand connections does not keep as many of those.
fn spare(came: &mut Vec<u8>) {
    if came.is_empty() {
        *came = Vec::new();
    }
}

/// Returns what an answer says, where it is the one to this question.
fn meant(answer: Answer, question: u64) -> Option<Result<Reply, ControlError>> {
    match answer {
        Answer::Ok { id, result } if id == question => Some(Ok(result)),
        Answer::Error { id, error } if id == question => {
            Some(Err(ControlError::Refused(Box::new(error))))
        }
        Answer::Ok { .. } | Answer::Error { .. } | Answer::Event { .. } => None,
    }
}

/// Returns a question as it is sent.
fn framed(id: u64, call: Call) -> Result<Vec<u8>, ControlError> {
    let message = serde_json::to_vec(&Request { id, call }).map_err(broken_json)?;
    let length = u32::try_from(message.len()).map_err(|_| ControlError::Unexpected)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(message);
    Ok(frame)
}

/// Takes the first answer out of what came; `None` where it is not whole.
fn whole(came: &mut Vec<u8>) -> Result<Option<Answer>, ControlError> {
    let Some((head, rest)) = came.split_first_chunk() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(ControlError::Unexpected);
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let answer = serde_json::from_slice(body).map_err(broken_json)?;
    came.drain(..size_of_val(head) + length);
    spare(came);
    Ok(Some(answer))
}

fn broken_json(error: serde_json::Error) -> ControlError {
    ControlError::Broken(error.into())
}

fn lost(error: io::Error) -> ControlError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset => ControlError::Ended,
        _ => ControlError::Broken(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: u64) -> Vec<u8> {
        let answer = Answer::Ok { id, result: Reply::Done };
        let body = serde_json::to_vec(&answer).unwrap();
        [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
    }

    #[tokio::test]
    async fn an_answer_that_comes_in_pieces_and_late_is_not_lost() {
        let (stream, mut theirs) = UnixStream::pair().unwrap();
        let control = Control { stream, requests: 0, came: Vec::new() };
        let mut quiet = control.quiet().unwrap();
        assert_eq!(quiet.send(Call::Sample { max_age_ms: 0 }).unwrap(), 1);
        assert_eq!(quiet.send(Call::Sample { max_age_ms: 0 }).unwrap(), 2);
        assert!(quiet.answer_to(2).unwrap().is_none());
        assert_eq!(quiet.came.capacity(), 0);
        let both = [frame(1), frame(2)].concat();
        let (first, rest) = both.split_at(frame(1).len() + 3);
        for (piece, is_last) in [(&first[..2], false), (&first[2..], false), (rest, true)] {
            theirs.write_all(piece).await.unwrap();
            assert_eq!(quiet.answer_to(2).unwrap().is_some(), is_last);
        }
        assert_eq!((quiet.came.capacity(), quiet.is_over()), (0, false));
        theirs.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        assert!(matches!(quiet.answer_to(3), Err(ControlError::Unexpected)));
        drop(theirs);
        quiet.came.clear();
        assert!(matches!(quiet.answer_to(3), Err(ControlError::Ended)) && quiet.is_over());
        assert!(matches!(quiet.send(Call::Sample { max_age_ms: 0 }), Err(ControlError::Ended)));
    }

    #[tokio::test]
    async fn who_takes_no_questions_is_not_waited_for() {
        let (stream, _theirs) = UnixStream::pair().unwrap();
        let mut quiet = Control { stream, requests: 0, came: Vec::new() }.quiet().unwrap();
        let asked = (0..1_000_000).find_map(|_| quiet.send(Call::Sample { max_age_ms: 0 }).err());
        assert!(matches!(asked, Some(ControlError::Broken(_))), "{asked:?}");
    }
}
