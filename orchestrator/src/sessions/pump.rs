//! Moves everything between our streams and a command until it has ended.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use schema::wire::message::{Done, ExecFailed, Resize, Signal, SignalTarget, Started, StdinMode};
use schema::wire::{CREDIT_START_BYTES, Frame, Kind, Message, STREAM_MAIN, STREAM_STDERR};
use thiserror::Error;

use super::relay::{BACKLOG_BYTES_MAX, RESET_CODE, Relay, RelayError};
use super::signals::{ENDING, FORWARDED, HUNG_UP, INTERRUPT, RESIZED, Signals};
use super::{Capture, End, Input, Job, Leave, Outcome, Sink, TERM_TO_KILL, keys, terminal};
use crate::context::Clock;

/// What a stream's reader grants at the first sign of bulk.
const WINDOW_BYTES: u32 = 512 * 1024;

/// How much is read from our input at once.
const READ_BYTES: usize = 32 * 1024;

/// How much is kept of what was written, so that it is not moved for every piece.
const WRITTEN_BYTES_MAX: usize = 1024 * 1024;

/// Consumed bytes are granted again in pieces of at least this size.
const GRANT_BYTES: u32 = 32 * 1024;

/// A pipe that is ready takes this much without making us wait.
const PIPE_BYTES: usize = 4096;

/// This many interrupts within [`INTERRUPTS_WITHIN`] end it all.
const INTERRUPTS: usize = 3;
const INTERRUPTS_WITHIN: Duration = Duration::from_secs(2);

/// How long a guest may leave a signal that asks for the end unanswered.
const UNANSWERED_MAX: Duration = Duration::from_secs(5);

const SIGNAL_TERM: u8 = 15;
const SIGNAL_KILL: u8 = 9;

/// Why a command's end is not known.
#[derive(Debug, Error)]
pub enum PumpError {
    /// The command could not be run.
    #[error("cannot run the command: {}", .0.detail)]
    Exec(ExecFailed),
    /// The relay failed.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The host refused something of ours.
    #[error("cannot {0}")]
    Host(&'static str, #[source] io::Error),
}

/// What happens on the way, for those who want lines of JSON.
#[derive(Debug)]
pub enum Event<'a> {
    /// The command runs.
    Started(u32),
    /// Bytes of its standard output, or of its terminal.
    Stdout(&'a [u8]),
    /// Bytes of its standard error.
    Stderr(&'a [u8]),
}

/// Runs a job to its end.
///
/// # Errors
/// The command could not be run, or the connection was lost before it ended.
pub fn run<C: Clock>(
    mut relay: Relay,
    job: Job,
    clock: &C,
    tell: &mut dyn FnMut(&Event<'_>),
) -> Result<Outcome, PumpError> {
    let is_terminal = job.exec.tty.is_some();
    let raw = match (is_terminal, job.input) {
        (true, Input::Ours) => terminal::Raw::enter().ok(),
        (true | false, Input::Ours | Input::Nothing) => None,
    };
    let mut caught = if is_terminal { ENDING.to_vec() } else { FORWARDED.to_vec() };
    caught.push(RESIZED);
    let signals = Signals::catch(&caught).map_err(|e| PumpError::Host("catch signals", e))?;
    let session = relay.open(&Message::Exec(job.exec.clone()))?;
    let watch = keys::Watch::new(if is_terminal { job.detach.clone() } else { Vec::new() });
    let mut pump = Pump {
        relay,
        session,
        signals,
        input: Source { open: job.input == Input::Ours, credit: CREDIT_START_BYTES, watch },
        streams: [Stream::to(io::stdout()), Stream::to(io::stderr())],
        deadline: job.timeout.map(|time| clock.elapsed() + time),
        overdue: Overdue::No,
        asked: None,
        interrupts: Vec::new(),
        pid: 0,
        end: None,
        job,
        tell,
    };
    if pump.job.input == Input::Nothing && pump.job.exec.stdin == StdinMode::Pipe {
        pump.relay.send(&Frame::end(session, STREAM_MAIN));
    }
    let end = pump.run(clock);
    // The terminal is given back before anything is said about the end.
    drop(raw);
    let [stdout, stderr] = pump.streams;
    Ok(Outcome { session, end: end?, stdout: stdout.captured, stderr: stderr.captured })
}

/// What is read for the command.
#[derive(Debug)]
struct Source {
    open: bool,
    credit: u32,
    watch: keys::Watch,
}

/// What the command writes, on its way out.
#[derive(Debug, Default)]
struct Stream {
    waiting: Vec<u8>,
    written: usize,
    consumed: u32,
    grown: bool,
    piece_bytes: usize,
    captured: Capture,
}

impl Stream {
    /// Returns a stream to `out`; a file takes all at once, anything else only what it has room for.
    fn to(out: impl AsFd) -> Self {
        let kind = rustix::fs::fstat(out).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let is_file = kind.is_ok_and(FileType::is_file);
        Self { piece_bytes: if is_file { usize::MAX } else { PIPE_BYTES }, ..Self::default() }
    }

    const fn backlog(&self) -> usize {
        self.waiting.len() - self.written
    }
}

/// How far the end of the time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overdue {
    No,
    Told,
    Killed,
}

struct Pump<'a> {
    relay: Relay,
    session: u32,
    signals: Signals,
    input: Source,
    streams: [Stream; 2],
    deadline: Option<Duration>,
    overdue: Overdue,
    /// When we end by ourselves, and the signal that asked for it.
    asked: Option<(Duration, u8)>,
    interrupts: Vec<Duration>,
    pid: u32,
    end: Option<End>,
    job: Job,
    tell: &'a mut dyn FnMut(&Event<'_>),
}

/// What became ready, in the order of [`Pump::wait`].
#[derive(Debug, Clone, Copy, Default)]
struct Ready {
    relay: bool,
    input: bool,
    output: [bool; 2],
}

impl Pump<'_> {
    fn run<C: Clock>(&mut self, clock: &C) -> Result<End, PumpError> {
        loop {
            self.relay.flush()?;
            self.watch_the_time(clock.elapsed());
            if self.streams.iter().all(|stream| stream.backlog() == 0)
                && let Some(end) = self.end.take()
            {
                self.say_done(&end);
                return Ok(end);
            }
            let ready = self.wait(clock.elapsed())?;
            self.take_signals(clock.elapsed());
            for at in 0..2 {
                if ready.output[at] {
                    self.write(at);
                }
            }
            if ready.relay {
                self.take_frames()?;
            }
            if ready.input {
                self.read_input();
            }
        }
    }

    /// Lets the agent forget the session at once; hanging up would do it too, a little later.
    fn say_done(&mut self, end: &End) {
        if matches!(end, End::Exited(_) | End::TimedOut(_)) {
            self.relay.send(&Message::Done(Done {}).to_frame(self.session));
            // The command's end is known, whatever becomes of the connection.
            drop(self.relay.flush());
        }
    }

    /// Waits until something can be done.
    fn wait(&self, now: Duration) -> Result<Ready, PumpError> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(12);
        let mut wishes = PollFlags::IN;
        if self.relay.backlog() > 0 {
            wishes |= PollFlags::OUT;
        }
        let wants = [
            (self.end.is_none(), self.relay.as_fd(), wishes),
            (self.wants_input(), stdin.as_fd(), PollFlags::IN),
            (self.streams[0].backlog() > 0, stdout.as_fd(), PollFlags::OUT),
            (self.streams[1].backlog() > 0, stderr.as_fd(), PollFlags::OUT),
        ];
        let mut places = [None; 4];
        for (place, (wanted, fd, flags)) in places.iter_mut().zip(wants) {
            if wanted {
                *place = Some(fds.len());
                fds.push(PollFd::from_borrowed_fd(fd, flags));
            }
        }
        fds.extend(
            self.signals
                .pipes()
                .map(|pipe: BorrowedFd<'_>| PollFd::from_borrowed_fd(pipe, PollFlags::IN)),
        );
        let asked = self.asked.map(|(at, _)| at);
        let next = self.deadline.into_iter().chain(asked).min();
        let left = next.map(|next| next.saturating_sub(now));
        let timeout = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(PumpError::Host("wait for the command", error.into())),
        }
        let is_ready = |place: Option<usize>| place.is_some_and(|at| !fds[at].revents().is_empty());
        Ok(Ready {
            relay: is_ready(places[0]),
            input: is_ready(places[1]),
            output: [is_ready(places[2]), is_ready(places[3])],
        })
    }

    fn wants_input(&self) -> bool {
        self.input.open
            && self.end.is_none()
            && self.input.credit > 0
            && self.relay.backlog() < BACKLOG_BYTES_MAX
    }

    fn read_input(&mut self) {
        let mut bytes = [0; READ_BYTES];
        let room = READ_BYTES.min(usize::try_from(self.input.credit).unwrap_or(READ_BYTES));
        // The standard library's reader holds bytes back; these go on at once.
        let count = match rustix::io::read(io::stdin(), &mut bytes[..room]) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return,
            Err(_) => 0,
        };
        if count == 0 {
            self.input.open = false;
            self.relay.send(&Frame::end(self.session, STREAM_MAIN));
            return;
        }
        let (passed, is_left) = self.input.watch.pass(&bytes[..count]);
        if !passed.is_empty() {
            self.input.credit -= u32::try_from(passed.len()).unwrap_or(self.input.credit);
            self.relay.send(&Frame::data(self.session, STREAM_MAIN, &passed));
        }
        if is_left {
            self.end = Some(End::Left { session: self.session, pid: self.pid });
        }
    }

    fn take_frames(&mut self) -> Result<(), PumpError> {
        self.relay.fill()?;
        while let Some(frame) = self.relay.next_frame()? {
            if frame.session == self.session {
                self.take(&frame)?;
            } else if frame.kind == Kind::Message {
                // Session 0 speaks to every client: the agent is gone, or the guest stops.
                let said = Message::decode(frame.code, &frame.payload);
                if let Ok(Message::Error(error)) = said {
                    return Err(RelayError::Refused(error).into());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: &Frame) -> Result<(), PumpError> {
        match frame.kind {
            Kind::Data => self.take_data(frame),
            Kind::Credit => self.input.credit = self.input.credit.saturating_add(frame.granted()),
            Kind::Message => return self.take_message(frame.code, &frame.payload),
            Kind::Reset => return self.take_message(RESET_CODE, &frame.payload),
        }
        Ok(())
    }

    fn take_data(&mut self, frame: &Frame) {
        let at = usize::from(frame.code == STREAM_STDERR);
        let bytes = frame.payload.as_slice();
        match self.job.sink {
            Sink::Ours => {
                self.streams[at].waiting.extend_from_slice(bytes);
            }
            Sink::Nowhere => self.consume(at, bytes.len()),
            Sink::Captured => {
                self.streams[at].captured.push(bytes);
                self.consume(at, bytes.len());
            }
            Sink::Events => {
                if !bytes.is_empty() {
                    let event = if at == 0 { Event::Stdout(bytes) } else { Event::Stderr(bytes) };
                    (self.tell)(&event);
                }
                self.consume(at, bytes.len());
            }
        }
    }

    fn take_message(&mut self, code: u16, payload: &[u8]) -> Result<(), PumpError> {
        let decoded = Message::decode(code, payload);
        match decoded.map_err(RelayError::Message)? {
            Message::Started(Started { pid }) => {
                self.pid = pid;
                (self.tell)(&Event::Started(pid));
                if self.job.leave == Leave::OnceStarted {
                    self.end = Some(End::Left { session: self.session, pid });
                }
                Ok(())
            }
            Message::ExecFailed(failed) => Err(PumpError::Exec(failed)),
            Message::Error(error) => Err(RelayError::Refused(error).into()),
            Message::Exited(exited) => {
                self.end = Some(match self.overdue {
                    Overdue::No => End::Exited(exited),
                    Overdue::Told | Overdue::Killed => End::TimedOut(Some(exited)),
                });
                Ok(())
            }
            // A later agent may say more than this build needs to know.
            _ => Ok(()),
        }
    }

    /// Writes what our stream takes without making us wait.
    fn write(&mut self, at: usize) {
        let stream = &mut self.streams[at];
        let rest = &stream.waiting[stream.written..];
        let piece = &rest[..rest.len().min(stream.piece_bytes)];
        let wrote = if at == 0 {
            rustix::io::write(io::stdout(), piece)
        } else {
            rustix::io::write(io::stderr(), piece)
        };
        let count = match wrote {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return,
            Err(_) if at == 0 => {
                self.end = Some(End::Closed);
                stream.waiting.clear();
                stream.written = 0;
                return;
            }
            // Nobody reads our stderr; the command goes on.
            Err(_) => piece.len(),
        };
        stream.written += count;
        // A command that is always ahead must not keep what was written long ago.
        if stream.written == stream.waiting.len() || stream.written > WRITTEN_BYTES_MAX {
            stream.waiting.drain(..stream.written);
            stream.written = 0;
        }
        self.consume(at, count);
    }

    /// Grants what was consumed, in pieces; a stream that is busy gets a wider window once.
    fn consume(&mut self, at: usize, count: usize) {
        let stream = &mut self.streams[at];
        stream.consumed = stream.consumed.saturating_add(u32::try_from(count).unwrap_or(0));
        if stream.consumed < GRANT_BYTES {
            return;
        }
        let wider = if stream.grown { 0 } else { WINDOW_BYTES };
        let grant = stream.consumed + wider;
        (stream.consumed, stream.grown) = (0, true);
        let code = if at == 0 { STREAM_MAIN } else { STREAM_STDERR };
        self.relay.send(&Frame::credit(self.session, code, grant));
    }

    fn take_signals(&mut self, now: Duration) {
        let is_terminal = self.job.exec.tty.is_some();
        for signal in self.signals.take() {
            if signal == RESIZED {
                if is_terminal {
                    let (rows, cols) = terminal::size();
                    let resize = Message::Resize(Resize { rows, cols });
                    self.relay.send(&resize.to_frame(self.session));
                }
                continue;
            }
            if signal == INTERRUPT {
                self.interrupts.retain(|at| now.saturating_sub(*at) < INTERRUPTS_WITHIN);
                self.interrupts.push(now);
                if self.interrupts.len() >= INTERRUPTS {
                    self.signal(SIGNAL_KILL);
                    self.end = Some(End::Signalled(2));
                    return;
                }
            }
            let number = u8::try_from(signal).unwrap_or(SIGNAL_TERM);
            self.signal(number);
            if ENDING.contains(&signal) && signal != INTERRUPT {
                // Whoever sent it waits for us, and the guest may be unable to answer.
                if signal == HUNG_UP || self.asked.is_some() {
                    self.end = Some(End::Signalled(number));
                    return;
                }
                self.asked = Some((now + UNANSWERED_MAX, number));
            }
        }
    }

    fn signal(&mut self, number: u8) {
        let signal = Message::Signal(Signal { number, target: SignalTarget::Group });
        self.relay.send(&signal.to_frame(self.session));
    }

    /// Tells a command to end when its time is over, and kills it a little later.
    fn watch_the_time(&mut self, now: Duration) {
        if let (None, Some((at, number))) = (&self.end, self.asked)
            && now >= at
        {
            self.end = Some(End::Signalled(number));
        }
        if self.end.is_some() || self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.overdue {
            Overdue::No => {
                self.signal(SIGNAL_TERM);
                self.overdue = Overdue::Told;
                self.deadline = Some(now + TERM_TO_KILL);
            }
            Overdue::Told => {
                self.signal(SIGNAL_KILL);
                self.overdue = Overdue::Killed;
                self.deadline = Some(now + UNANSWERED_MAX);
            }
            Overdue::Killed => self.end = Some(End::TimedOut(None)),
        }
    }
}
