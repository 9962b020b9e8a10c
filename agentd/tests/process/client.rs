//! A runtime for tests: starts the agent without a machine and speaks the protocol to it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use schema::wire::boot::BootRecord;
use schema::wire::message::{
    Boot, Done, Exec, ExecFailed, Exited, OnGone, Ready, Shutdown, Started, StdinMode,
};
use schema::wire::{
    CONTROL_SESSION, Decoder, Frame, Kind, Message, PREAMBLE, STREAM_MAIN, STREAM_STDERR,
    encode_boot_record,
};

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(20);

/// An agent that runs, and our end of its channel.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Child,
    stream: Option<UnixStream>,
    decoder: Decoder,
    root: PathBuf,
    next_session: u32,
}

/// What came of a command.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) started: Option<Started>,
    pub(crate) failed: Option<ExecFailed>,
    pub(crate) exited: Option<Exited>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Streams that ended before the last word.
    pub(crate) ends: usize,
}

/// Returns a command as a client asks for it.
pub(crate) fn command(argv: &[&str]) -> Exec {
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

/// Returns a shell command.
pub(crate) fn shell(script: &str) -> Exec {
    command(&["sh", "-c", script])
}

impl Agent {
    /// Starts an agent in a fresh folder and boots it.
    pub(crate) fn boot(record: &BootRecord) -> (Self, Ready) {
        let mut agent = Self::start();
        agent.send_record(record);
        let ready = loop {
            match agent.message(CONTROL_SESSION) {
                Message::Ready(ready) => break ready,
                Message::BootStep(_) => {}
                other => panic!("{other:?} instead of a boot"),
            }
        };
        (agent, ready)
    }

    /// Starts an agent with nothing to say about itself.
    pub(crate) fn up() -> Self {
        Self::boot(&BootRecord { shell: "/bin/sh".into(), ..BootRecord::default() }).0
    }

    /// Starts an agent and hears its first word.
    pub(crate) fn start() -> Self {
        let root = a_folder();
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        // The shell gives the channel a number of its own, and leaves another descriptor open.
        let child = Command::new("/bin/sh")
            .args([
                "-c",
                "exec \"$0\" --process --root \"$1\" --agent-fd 7 7<&0 9</dev/null </dev/null",
            ])
            .arg(env!("CARGO_BIN_EXE_agentd"))
            .arg(&root)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .unwrap();
        let decoder = Decoder::default();
        let mut agent = Self { child, stream: Some(ours), decoder, root, next_session: 1 };
        let mut preamble = [0; PREAMBLE.len()];
        agent.stream().read_exact(&mut preamble).unwrap();
        assert_eq!(preamble, PREAMBLE);
        assert!(matches!(agent.message(CONTROL_SESSION), Message::Hello(_)));
        agent
    }

    /// Answers the first word.
    pub(crate) fn send_record(&mut self, record: &BootRecord) {
        let bytes = encode_boot_record(record);
        let length = u32::try_from(bytes.len()).unwrap();
        self.say(CONTROL_SESSION, Boot { generation: 1, bytes: length });
        for chunk in bytes.chunks(65_536) {
            self.send(&Frame::data(CONTROL_SESSION, STREAM_MAIN, chunk));
        }
    }

    /// Returns the folder that stands for the root.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a frame.
    pub(crate) fn send(&mut self, frame: &Frame) {
        self.stream().write_all(&frame.to_bytes()).unwrap();
    }

    /// Writes a message.
    pub(crate) fn say(&mut self, session: u32, message: impl Into<Message>) {
        self.send(&message.into().to_frame(session));
    }

    /// Returns the next frame of any session.
    pub(crate) fn frame(&mut self) -> Frame {
        let mut buffer = [0; 65_536];
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return frame;
            }
            let count = self.stream().read(&mut buffer).expect("the agent says something in time");
            assert!(count > 0, "the agent closed its channel");
            self.decoder.push(&buffer[..count]);
        }
    }

    /// Returns the next message of a session, passing over everything else.
    pub(crate) fn message(&mut self, session: u32) -> Message {
        loop {
            let frame = self.frame();
            if frame.session == session && frame.kind == Kind::Message {
                return Message::decode(frame.code, &frame.payload).unwrap();
            }
        }
    }

    /// Opens a session and returns its id.
    pub(crate) fn open(&mut self, exec: Exec) -> u32 {
        self.open_with(exec)
    }

    /// Opens a session with any message and returns its id.
    pub(crate) fn open_with(&mut self, message: impl Into<Message>) -> u32 {
        let id = self.next_session;
        self.next_session += 1;
        self.say(id, message);
        id
    }

    /// Runs a command to its end.
    pub(crate) fn run(&mut self, exec: Exec) -> Outcome {
        let id = self.open(exec);
        self.finish(id)
    }

    /// Hears a session to its end, granting what it takes.
    pub(crate) fn finish(&mut self, id: u32) -> Outcome {
        let mut outcome = Outcome::default();
        loop {
            let frame = self.frame();
            if frame.session != id {
                continue;
            }
            if self.hear(&frame, &mut outcome) {
                self.say(id, Done {});
                return outcome;
            }
        }
    }

    /// Hears a session until its output says what is waited for.
    pub(crate) fn hear_until(&mut self, outcome: &mut Outcome, enough: impl Fn(&str) -> bool) {
        while !enough(&outcome.text()) {
            let frame = self.frame();
            assert!(!self.hear(&frame, outcome), "it ended with {}", outcome.text());
        }
    }

    /// Takes one frame of a session; tells whether it was the last.
    pub(crate) fn hear(&mut self, frame: &Frame, outcome: &mut Outcome) -> bool {
        match frame.kind {
            Kind::Data => {
                outcome.ends += usize::from(frame.is_end());
                let streams = [&mut outcome.stdout, &mut outcome.stderr];
                streams[usize::from(frame.code == STREAM_STDERR)].extend(&frame.payload);
                if !frame.payload.is_empty() {
                    let bytes = u32::try_from(frame.payload.len()).unwrap();
                    self.send(&Frame::credit(frame.session, frame.code, bytes));
                }
                false
            }
            Kind::Credit => false,
            Kind::Reset => panic!("session {} was reset", frame.session),
            Kind::Message => match Message::decode(frame.code, &frame.payload).unwrap() {
                Message::Started(started) => {
                    outcome.started = Some(started);
                    false
                }
                Message::ExecFailed(failed) => {
                    outcome.failed = Some(failed);
                    false
                }
                Message::Exited(exited) => {
                    outcome.exited = Some(exited);
                    false
                }
                Message::Done(_) => true,
                other => panic!("{other:?} in session {}", frame.session),
            },
        }
    }

    /// Asks the agent to shut down.
    pub(crate) fn ask_to_shut_down(&mut self, grace_ms: u32) {
        self.say(CONTROL_SESSION, Shutdown { grace_ms, reason: "test".into() });
    }

    /// Closes the channel.
    pub(crate) fn hang_up(&mut self) {
        self.stream = None;
    }

    /// Returns the agent's exit code once it has ended.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    fn stream(&mut self) -> &mut UnixStream {
        self.stream.as_mut().expect("the test has not hung up")
    }
}

/// Makes a folder. One that a failed test left is passed over: process ids come again.
fn a_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("agentd-test-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder).unwrap(),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stream = None;
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.root));
    }
}

impl Outcome {
    /// Returns what the command wrote.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns the exit code.
    pub(crate) fn code(&self) -> Option<u8> {
        self.exited.as_ref().expect("the command ran").code
    }
}

/// Waits until a process is gone, in a folder that every Linux has.
pub(crate) fn wait_until_gone(pid: u32) {
    let stat = PathBuf::from(format!("/proc/{pid}/stat"));
    for _ in 0..1_000_000 {
        match std::fs::read_to_string(&stat) {
            Ok(text) if !text.contains(") Z ") => std::thread::yield_now(),
            Ok(_) | Err(_) => return,
        }
    }
    panic!("process {pid} is still there");
}
