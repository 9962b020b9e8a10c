//! One command and its conversation with the client that asked for it.
//!
//! ```text
//! Exec ─▶ starting ─Started─▶ running ─ended─▶ ending ─ends of streams, Exited, Done─▶ said
//!            └───ExecFailed, Done──────────────────────────────────────────────────────▶ said
//! said ─Done of the client─▶ over
//! ```
//!
//! A client that goes away takes its session with it; what becomes of the
//! command is what the client said at the start. [`Leftover`] is such a command.

pub(crate) mod command;
mod credit;
mod environment;
pub(crate) mod forward;
mod input;
mod output;
pub(crate) mod settings;
pub(crate) mod tree;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use schema::wire::message::{
    Error, ErrorCode, Exec, ExecFailed, ExecFailure, Exited, OnGone, Resize, Signal, SignalTarget,
    Started, StdinMode, Tty,
};
use schema::wire::{Frame, STREAM_MAIN, STREAM_STDERR};

use self::command::{Command, failed};
use self::input::Input;
use self::output::{LINGER_MS, Output};
use self::settings::Settings;
use self::tree::Errand;
use crate::channel::Channel;
use crate::groups::Group;
use crate::sys;
use crate::sys::children::Ended;
use crate::sys::pty::Pty;
use crate::sys::signals;
use crate::sys::spawn::{Bond, Launch, REPORT_BYTES, Stage, spawn};

/// The name of the session that is the sandbox's workload.
pub(crate) const MAIN: &str = "main";

/// How long a command whose client is gone has between the hang-up and the end.
pub(crate) const HANG_UP_MS: u64 = 5000;

/// The size of a pipe that carries a tree of files, where the kernel allows it.
const WIDE_PIPE_BYTES: i32 = 1024 * 1024;

/// How far a session is.
#[derive(Debug)]
enum Life {
    /// The child has not become its command yet; it reports here if it cannot.
    Starting(OwnedFd),
    /// The command runs.
    Running,
    /// The command has ended; its streams have until the moment given.
    Ending(Ended, u64),
    /// Everything was said; the client has not answered yet.
    Said,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    id: u32,
    life: Life,
    command: Command,
    is_main: bool,
    on_gone: OnGone,
    pid: u32,
    group: Group,
    terminal: Option<OwnedFd>,
    input: Input,
    outputs: Vec<Output>,
    oom_kills: u64,
    has_client_said_all: bool,
}

/// Processes whose session is over.
#[derive(Debug)]
pub(crate) struct Leftover {
    /// The processes.
    pub(crate) group: Group,
    /// When they are ended, if they are.
    pub(crate) kill_at_ms: Option<u64>,
}

/// Our ends and the command's ends of its standard streams.
struct Streams {
    input: Input,
    outputs: Vec<Output>,
    terminal: Option<OwnedFd>,
    theirs: [OwnedFd; 3],
}

impl Session {
    /// Starts a command; whether it became one is known later, see [`Session::hear_report`].
    pub(crate) fn start(id: u32, exec: &Exec, settings: &Settings) -> Result<Self, ExecFailed> {
        let command = Command::prepare(exec, settings)?;
        let streams = match &exec.tty {
            Some(tty) => Streams::terminal(tty, &command),
            None => Streams::pipes(exec.stdin),
        };
        let is_main = exec.name.as_deref() == Some(MAIN);
        let session = Self::launch(id, command, streams, settings)?;
        Ok(Self { is_main, on_gone: exec.on_gone, ..session })
    }

    /// Starts the child that sends or takes a tree of files.
    pub(crate) fn carry(
        id: u32,
        errand: Errand<'_>,
        settings: &Settings,
    ) -> Result<Self, ExecFailed> {
        let command = errand.command(settings)?;
        let streams = Streams::pipes(errand.stdin());
        if let Ok(streams) = &streams {
            streams.widen();
        }
        Self::launch(id, command, streams, settings)
    }

    fn launch(
        id: u32,
        command: Command,
        streams: io::Result<Streams>,
        settings: &Settings,
    ) -> Result<Self, ExecFailed> {
        let other = |what: &str, error: &io::Error| {
            let errno = error.raw_os_error().unwrap_or(0);
            failed(ExecFailure::Other, errno, format!("{what}: {error}"))
        };
        let streams = streams.map_err(|error| other("making its streams", &error))?;
        let (report, theirs) = sys::io::pipe().map_err(|error| other("making a pipe", &error))?;
        let mut group = if settings.place.is_machine() {
            Group::create(id).map_err(|error| other("making its control group", &error))?
        } else {
            Group::Processes { leader: 0 }
        };
        let [stdin, stdout, stderr] = &streams.theirs;
        let launch = Launch {
            programs: &command.programs,
            argv: &command.argv,
            envp: &command.envp,
            cwd: &command.cwd,
            credentials: command.credentials.as_ref(),
            limits: &command.limits,
            stdio: [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
            has_terminal: streams.terminal.is_some(),
            profile: settings.profile,
            group: group.birthplace(),
            bond: if settings.place.is_machine() { Bond::None } else { Bond::DiesWithUs },
            report: theirs.as_fd(),
        };
        let pid = match spawn(&launch) {
            Ok(pid) => pid,
            Err(error) => {
                group.remove();
                return Err(other("starting a process", &error));
            }
        };
        group.led_by(pid);
        Ok(Self {
            id,
            life: Life::Starting(report),
            command,
            is_main: false,
            on_gone: OnGone::Kill,
            pid,
            group,
            terminal: streams.terminal,
            input: streams.input,
            outputs: streams.outputs,
            oom_kills: 0,
            has_client_said_all: false,
        })
    }

    /// Returns the process id of the command, while it has not ended.
    pub(crate) const fn pid(&self) -> Option<u32> {
        match self.life {
            Life::Starting(_) | Life::Running => Some(self.pid),
            Life::Ending(..) | Life::Said => None,
        }
    }

    /// Returns what becomes of the command when the client goes.
    pub(crate) const fn on_gone(&self) -> OnGone {
        self.on_gone
    }

    /// Tells whether the agent has said everything.
    pub(crate) const fn has_said_all(&self) -> bool {
        matches!(self.life, Life::Said)
    }

    /// Tells whether the client has said everything, too.
    pub(crate) const fn has_client_said_all(&self) -> bool {
        self.has_client_said_all
    }

    /// Returns where the child reports, until it is its command.
    pub(crate) fn report_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.life {
            Life::Starting(report) => Some(report.as_fd()),
            Life::Running | Life::Ending(..) | Life::Said => None,
        }
    }

    /// Returns the input to wait for, where something waits for the command.
    pub(crate) fn input_fd(&self) -> Option<BorrowedFd<'_>> {
        self.input.wants_write()
    }

    /// Returns the outputs to wait for, with their place in the session.
    pub(crate) fn output_fds(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        let outputs = self.outputs.iter().enumerate();
        outputs.filter_map(|(index, output)| output.wants_read().map(|fd| (index, fd)))
    }

    /// Returns when something has to be looked at, if nothing happens before.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        match self.life {
            Life::Ending(_, until) if self.outputs.iter().any(Output::may_be_cut) => Some(until),
            Life::Starting(_) | Life::Running | Life::Ending(..) | Life::Said => None,
        }
    }

    /// Hears whether the child became its command, and tells the client.
    pub(crate) fn hear_report(&mut self, channel: &mut Channel) {
        let Life::Starting(report) = &self.life else {
            return;
        };
        let mut bytes = [0; REPORT_BYTES];
        match sys::io::read(report.as_fd(), &mut bytes) {
            Ok(REPORT_BYTES) => {
                let (stage, errno) = Stage::parse(bytes);
                channel.say(self.id, self.command.explain(stage, errno));
                self.say_done(channel);
            }
            Ok(_) => {
                channel.say(self.id, Started { pid: self.pid });
                self.life = Life::Running;
            }
            Err(_) => {}
        }
    }

    /// Takes note that the command has ended.
    pub(crate) fn hear_end(&mut self, ended: Ended, now_ms: u64, channel: &mut Channel) {
        self.hear_report(channel);
        if self.has_said_all() {
            return;
        }
        for output in &mut self.outputs {
            output.command_ended();
        }
        self.input.close();
        self.life = Life::Ending(ended, now_ms + LINGER_MS);
    }

    /// Does what is due once the command has ended; returns what others may still write to.
    pub(crate) fn settle(&mut self, now_ms: u64, channel: &mut Channel) -> Vec<OwnedFd> {
        let Life::Ending(ended, until) = self.life else {
            return Vec::new();
        };
        let mut cut = Vec::new();
        for output in &mut self.outputs {
            if now_ms >= until && output.may_be_cut() {
                cut.extend(output.cut(self.id, channel).filter(|_| self.terminal.is_none()));
            }
        }
        if self.outputs.iter().all(Output::has_ended) {
            let oom = self.group.out_of_memory_kills() > 0;
            channel.say(
                self.id,
                Exited {
                    code: ended.code,
                    signal: ended.signal,
                    core: ended.core,
                    cpu_ms: ended.cpu_ms,
                    rss_max_bytes: ended.rss_max_bytes,
                    oom: oom.then_some(true),
                },
            );
            self.say_done(channel);
        }
        cut
    }

    /// Writes to the command what waits for it.
    pub(crate) fn pump_input(&mut self, channel: &mut Channel) {
        if let Some(bytes) = self.input.pump() {
            channel.send(&Frame::credit(self.id, STREAM_MAIN, bytes));
        }
    }

    /// Reads one output of the command once.
    pub(crate) fn pump_output(&mut self, index: usize, channel: &mut Channel, buffer: &mut [u8]) {
        if let Some(output) = self.outputs.get_mut(index) {
            output.pump(self.id, channel, buffer);
        }
    }

    /// Takes bytes for the command.
    ///
    /// # Errors
    /// They may not be sent.
    pub(crate) fn hear_data(&mut self, frame: &Frame, channel: &mut Channel) -> Result<(), Error> {
        if frame.code != STREAM_MAIN {
            let text = format!("a command has no input stream {}", frame.code);
            return Err(Error::new(ErrorCode::BadMessage, text));
        }
        self.input
            .receive(&frame.payload)
            .map_err(|beyond| Error::new(ErrorCode::BeyondCredit, beyond.to_string()))?;
        if frame.is_end() {
            self.input.end();
        }
        self.pump_input(channel);
        Ok(())
    }

    /// Takes a grant for an output.
    pub(crate) fn hear_credit(&mut self, frame: &Frame) {
        let output = self.outputs.iter_mut().find(|output| output.stream() == frame.code);
        if let Some(output) = output {
            output.grant(frame.granted());
        }
    }

    /// Takes note that the client has said everything.
    pub(crate) fn hear_done(&mut self, channel: &mut Channel) {
        self.has_client_said_all = true;
        self.input.end();
        self.pump_input(channel);
    }

    /// Sends a signal where the client wants it.
    pub(crate) fn signal(&self, signal: &Signal) -> io::Result<()> {
        let Some(pid) = self.pid() else {
            // It has ended; the client will hear of it.
            return Ok(());
        };
        match signal.target {
            SignalTarget::Leader => signals::send(pid, signal.number),
            SignalTarget::Group => self.group.signal(signal.number),
        }
    }

    /// Asks the command to end: the workload by its own signal, a terminal by hanging up.
    pub(crate) fn ask_to_end(&self, stop_signal: u8) -> io::Result<()> {
        let Some(pid) = self.pid() else {
            return Ok(());
        };
        if self.is_main {
            signals::send(pid, stop_signal)
        } else if self.terminal.is_some() {
            self.group.signal(signals::HUP)
        } else {
            self.group.signal(signals::TERM)
        }
    }

    /// Gives the terminal a new size.
    pub(crate) fn resize(&self, size: &Resize) -> io::Result<()> {
        match &self.terminal {
            Some(terminal) => sys::pty::resize(terminal, size.rows, size.cols),
            None => Ok(()),
        }
    }

    /// Tells whether the kernel has killed more of it for memory since the last time.
    pub(crate) fn has_new_oom_kill(&mut self) -> bool {
        let kills = self.group.out_of_memory_kills();
        let is_new = kills > self.oom_kills;
        self.oom_kills = kills;
        is_new
    }

    /// Gives up the conversation; returns the processes, and what they may still write to.
    pub(crate) fn abandon(mut self, now_ms: u64) -> (Leftover, Vec<OwnedFd>) {
        let (kill_at_ms, outputs) = match self.on_gone {
            OnGone::Kill => {
                // Those that ended meanwhile need no signal.
                drop(self.group.signal(signals::HUP));
                (Some(now_ms + HANG_UP_MS), Vec::new())
            }
            OnGone::Keep => (None, self.outputs.iter_mut().filter_map(Output::take).collect()),
        };
        (Leftover { group: self.group, kill_at_ms }, outputs)
    }

    /// Returns the processes that are left when the session is over.
    pub(crate) fn into_leftover(self) -> Leftover {
        Leftover { group: self.group, kill_at_ms: None }
    }

    fn say_done(&mut self, channel: &mut Channel) {
        channel.say(self.id, schema::wire::message::Done {});
        self.outputs.clear();
        self.input.close();
        self.terminal = None;
        self.life = Life::Said;
    }
}

impl Streams {
    /// Makes room for more on the way, so that both ends work in larger pieces.
    fn widen(&self) {
        for end in &self.theirs {
            // A pipe of the usual size is as good, only slower.
            sys::io::set_pipe_size(end, WIDE_PIPE_BYTES).ok();
        }
    }

    fn pipes(stdin: StdinMode) -> io::Result<Self> {
        let (input, stdin) = match stdin {
            StdinMode::None => (None, OwnedFd::from(File::open("/dev/null")?)),
            StdinMode::Pipe => {
                let (theirs, ours) = sys::io::pipe()?;
                sys::io::set_nonblocking(&ours)?;
                (Some(ours), theirs)
            }
        };
        let mut outputs = Vec::new();
        let mut output = |stream| {
            let (ours, theirs) = sys::io::pipe()?;
            sys::io::set_nonblocking(&ours)?;
            outputs.push(Output::new(stream, ours));
            Ok::<_, io::Error>(theirs)
        };
        let theirs = [stdin, output(STREAM_MAIN)?, output(STREAM_STDERR)?];
        Ok(Self { input: Input::new(input, false), outputs, terminal: None, theirs })
    }

    fn terminal(tty: &Tty, command: &Command) -> io::Result<Self> {
        let pty = Pty::open(tty.rows, tty.cols)?;
        if let Some(who) = &command.credentials {
            pty.give_to(who.uid)?;
        }
        sys::io::set_nonblocking(&pty.master)?;
        let input = Input::new(Some(pty.master.try_clone()?), true);
        let outputs = vec![Output::new(STREAM_MAIN, pty.master.try_clone()?)];
        let theirs = [pty.slave.try_clone()?, pty.slave.try_clone()?, pty.slave];
        Ok(Self { input, outputs, terminal: Some(pty.master), theirs })
    }
}
